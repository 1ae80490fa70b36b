"""`python -m facial_rec inspect`: say what a weights file is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import command
from engine.files import sha256_of
from facial_rec.containers import Container, identify
from facial_rec.contents import contents_sha256
from facial_rec.edgeface import architecture_named
from facial_rec.programs import open_program
from facial_rec.refusals import MismatchError, NotWeightsError, OtherNetworkError
from facial_rec.weights import Weights, find_weights, read_weights


@dataclass(frozen=True)
class InspectConfig:
    """Say what a weights file is: container, architecture, parameters, precision, checksum, origin."""

    file: Annotated[str, typer.Argument(help="Path, bare name or hf:// address of a weights file.")]
    arch: Annotated[str | None, typer.Option(help="Refuse the file unless it is this variant.")] = None
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False


def inspect_weights(config: InspectConfig) -> None:
    """Print what the file is.

    Raises:
        WeightsError: The file is refused.
    """
    facts = describe(find_weights(config.file), config.arch)
    if config.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_shown(value)}")


def describe(path: Path, arch: str | None = None) -> dict[str, Any]:
    """Return what a weights file is, as plain values.

    Raises:
        WeightsError: The file is refused; a program of an unknown network is described as a black box.
    """
    try:
        return _facts(read_weights(path, arch))
    except (MismatchError, NotWeightsError, OtherNetworkError) as error:
        container = identify(path)
        if arch is not None or container not in (Container.TORCHSCRIPT, Container.EXPORTED):
            raise
        return _black_box_facts(path, container, str(error))


def _facts(weights: Weights) -> dict[str, Any]:
    architecture = architecture_named(weights.arch)
    counted = [tensor for name, tensor in weights.state_dict.items() if not name.endswith(_BUFFERS)]
    return {
        "file": weights.source.as_posix(),
        "container": str(weights.container),
        "kind": weights.kind,
        "architecture": weights.arch,
        "network": architecture.network,
        "rank_ratio": architecture.rank_ratio,
        "parameters": sum(tensor.numel() for tensor in counted),
        "dtype": weights.dtype,
        "bytes": weights.source.stat().st_size,
        "sha256": weights.sha256,
        "contents_sha256": contents_sha256(weights.state_dict),
        "official": weights.official,
        "ignored": list(weights.ignored),
        "metadata": weights.metadata,
    }


_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def _black_box_facts(path: Path, container: Container, reason: str) -> dict[str, Any]:
    tensors = open_program(path, container).state_dict.values()
    return {
        "file": path.as_posix(),
        "container": str(container),
        "kind": "black box",
        "architecture": "unknown",
        "parameters": sum(tensor.numel() for tensor in tensors if hasattr(tensor, "numel")),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "note": reason,
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:,}" if type(value) is int else str(value)


main = command(InspectConfig, inspect_weights, example="python -m facial_rec inspect edgeface_xxs.pt --json")
if __name__ == "__main__":
    main()
