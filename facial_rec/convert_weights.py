"""`python -m facial_rec convert`: write weights in another container or precision."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from engine.cli import command
from engine.files import atomic_path
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.choice import KeyOption
from facial_rec.loading.refusals import MismatchError, ValuesError
from facial_rec.loading.saving import format_for, save_weights
from facial_rec.loading.selftest import probes
from facial_rec.loading.sources import find_weights
from facial_rec.loading.weights import read_weights

_LEAST_COSINE = {"float32": 0.999999, "float16": 0.9999, "bfloat16": 0.995}


@dataclass(frozen=True)
class ConvertConfig:
    """Write weights as state_dict, safetensors, TorchScript or torch.export program, and compare the result."""

    source: Annotated[str, typer.Argument(help="Path, bare name or hf:// address of a weights file.")]
    out: Annotated[Path, typer.Argument(help="The new file; its suffix says the format.")]
    format: Annotated[
        Literal["auto", "state_dict", "safetensors", "torchscript", "pt2"],
        typer.Option(help="auto: .pt and .pth state_dict, .safetensors, .ts TorchScript, .pt2 torch.export."),
    ] = "auto"
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"], typer.Option(help="Precision of the stored tensors.")
    ] = "float32"
    arch: Annotated[str | None, typer.Option(help="Refuse the file unless it is this variant.")] = None
    key: KeyOption = None
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False


def convert_weights(config: ConvertConfig) -> None:
    """Convert a file, read the result back and print how far it is from the source.

    Raises:
        WeightsError: The source is refused, the target exists, or the result is not the same network.
    """
    source = find_weights(config.source)
    if config.out.exists() and (not config.overwrite or config.out.resolve() == source.resolve()):
        raise MismatchError(f"{config.out}: exists already; give another name, or --overwrite (never onto the source)")
    form = format_for(config.out, None if config.format == "auto" else config.format)
    weights = read_weights(source, config.arch, config.key)
    with atomic_path(config.out) as temporary:
        save_weights(temporary, weights, form, config.dtype)
        cosine, difference = parity(source, temporary, config.key)
        if cosine < _LEAST_COSINE[config.dtype]:
            raise ValuesError(f"{config.out}: not written, {_reason(cosine, config.dtype)}")
    size = config.out.stat().st_size
    if config.json:
        facts: dict[str, Any] = {
            "file": config.out.as_posix(),
            "architecture": weights.arch,
            "format": form,
            "dtype": config.dtype,
        }
        facts |= {"bytes": size, "source": source.as_posix(), "cosine": cosine, "largest_difference": difference}
        print(json.dumps(facts, indent=2))
        return
    print(f"{config.out}: {weights.arch}, {form}, {config.dtype}, {size:,} bytes")
    print(f"parity with {source}: cosine {cosine:.7f}, largest difference {difference:.1e}")


def _reason(cosine: float, dtype: str) -> str:
    if dtype == "float32":
        return f"its cosine to the source is {cosine:.5f}: the source computes something else than its tensors say"
    return f"its cosine to the source is {cosine:.5f}; store it as float32 (--dtype float32)"


@torch.no_grad()
def parity(first: Path, second: Path, key: str | None = None) -> tuple[float, float]:
    """Return the least cosine and the largest difference of two files' embeddings of fixed patterns.

    Args:
        first: A weights file.
        second: Another.
        key: Which network of the first is meant.
    """
    one, other = EdgeFaceEmbedding(first, key=key)(probes()), EdgeFaceEmbedding(second)(probes())
    return float((one * other).sum(1).min()), float((one - other).abs().max())


main = command(ConvertConfig, convert_weights, example="python -m facial_rec convert edgeface_xxs.pt xxs.safetensors")
if __name__ == "__main__":
    main()
