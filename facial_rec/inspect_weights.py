"""`python -m facial_rec inspect`: say what a weights file is."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import command
from engine.files import sha256_of
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.choice import KeyOption
from facial_rec.loading.containers import identify
from facial_rec.loading.refusals import MismatchError, NotWeightsError, OtherNetworkError
from facial_rec.loading.sources import find_weights
from facial_rec.loading.tensors import RawTensors, read_tensors
from facial_rec.loading.weights import Weights, weights_in
from facial_rec.networks.edgeface import architecture_named

_MOST_SHOWN = 8


@dataclass(frozen=True)
class InspectConfig:
    """Say what a weights file is: container, architecture, parameters, precision, checksum, origin."""

    file: Annotated[str, typer.Argument(help="Path, bare name or hf:// address of a weights file.")]
    arch: Annotated[str | None, typer.Option(help="Refuse the file unless it is this variant.")] = None
    key: KeyOption = None
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False


def inspect_weights(config: InspectConfig) -> None:
    """Print what the file is.

    Raises:
        WeightsError: The file is refused.
    """
    facts = describe(find_weights(config.file), config.arch, config.key)
    if config.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        return
    _print_facts(facts)


def describe(path: Path, arch: str | None = None, key: str | None = None) -> dict[str, Any]:
    """Return what a weights file is, as plain values.

    Raises:
        WeightsError: The file is refused; a program of an unknown network is described as a black box.
    """
    raw = read_tensors(identify(path))
    try:
        weights = weights_in(raw, arch, key)
    except (MismatchError, NotWeightsError, OtherNetworkError) as error:
        if raw.program is None or arch is not None or key is not None:
            raise
        return _black_box_facts(raw, str(error))
    facts = _facts(weights)
    if raw.program is not None:
        facts["kind"] += f"; {EdgeFaceEmbedding(path, key=key).kind}"
    return facts


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


def _black_box_facts(raw: RawTensors, reason: str) -> dict[str, Any]:
    path = raw.file.path
    return {
        "file": path.as_posix(),
        "container": str(raw.file.container),
        "kind": "black box",
        "architecture": "unknown",
        "parameters": sum(tensor.numel() for tensor in raw.stored.values() if hasattr(tensor, "numel")),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "note": reason,
    }


def _print_facts(facts: dict[str, Any], depth: int = 0) -> None:
    """Print one fact a line; facts inside facts stand indented below their name."""
    indent = "  " * depth
    width = max((len(name) for name, value in facts.items() if not isinstance(value, dict)), default=0)
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            print(f"{indent}{name}")
            _print_facts(value, depth + 1)
        else:
            print(f"{indent}{name:<{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:_MOST_SHOWN]))
        return f"{shown}, and {len(value) - _MOST_SHOWN} more" if len(value) > _MOST_SHOWN else shown or "none"
    if value is None or value == {}:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if type(value) is int else str(value)


main = command(InspectConfig, inspect_weights, example="python -m facial_rec inspect edgeface_xxs.pt --json")
if __name__ == "__main__":
    main()
