"""Writing an EdgeFace, in any of the containers that are read."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from engine.checkpoint import save_checkpoint, write_with
from engine.files import write_bytes
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.refusals import MismatchError
from facial_rec.loading.tensors import METADATA_FILE
from facial_rec.loading.torch_notices import no_deprecation_notices
from facial_rec.loading.weights import FINETUNED_FORMAT, Weights, load_network
from facial_rec.networks.edgeface import INPUT_SIZE_PX

Format = Literal["state_dict", "safetensors", "torchscript", "pt2"]
Precision = Literal["float32", "float16", "bfloat16"]
_SUFFIXES: dict[str, Format] = {
    ".pt": "state_dict",
    ".pth": "state_dict",
    ".safetensors": "safetensors",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".pt2": "pt2",
}
_MOST_FACES = 4096
_FINETUNED_VERSION = 1


def format_for(path: Path, asked: Format | None = None) -> Format:
    """Return the format that a file's suffix stands for: `.pt` and `.pth` are state_dicts, `.ts` is TorchScript.

    Args:
        path: The new file.
        asked: The format that the user named; any suffix will do but one that stands for another. `.pt` and `.pth`
            are used for all that torch writes.

    Raises:
        MismatchError: The suffix stands for no format, or for another than was asked for.
    """
    suffix = path.suffix.lower()
    found = _SUFFIXES.get(suffix)
    if asked is None and found is None:
        forms = ", ".join(f"{ending} ({form})" for ending, form in _SUFFIXES.items())
        raise MismatchError(
            f"{path}: {f'no format has the ending {suffix}' if suffix else 'has no ending'}; there are {forms}"
            + ("; ONNX is written by: python -m pipeline export" if suffix == ".onnx" else "")
        )
    if asked in (None, found) or found is None or (found == "state_dict" and asked != "safetensors"):
        return asked or found or "state_dict"
    raise MismatchError(f"{path}: {suffix} stands for {found}, not {asked}; give another ending, or another --format")


def save_weights(path: Path, weights: Weights, form: Format, precision: Precision = "float32") -> None:
    """Write weights in a container; the file is written whole or not at all.

    Args:
        path: The new file.
        weights: Read by `read_weights`.
        form: "state_dict" (of `torch.save`), "safetensors", "torchscript" or "pt2" (`torch.export`); the last two
            are programs, (B, 3, 112, 112) RGB in [-1, 1] -> (B, 512) for any B, and compute in float32.
        precision: In which the tensors are stored.
    """
    state = stored_state(weights, precision)
    metadata = {"arch": weights.arch, "source_sha256": weights.sha256, "contents_sha256": contents_sha256(state)}
    if form == "state_dict":
        save_checkpoint(path, state)
    elif form == "safetensors":
        write_bytes(path, serialise(state, metadata))
    else:
        network = _rounded(weights, state)
        extra = {METADATA_FILE: json.dumps(metadata)}
        (_save_script if form == "torchscript" else _save_exported)(network, path, extra)


def save_finetuned(path: Path, arch: str, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Save a trained backbone as a plain checkpoint that `torch.load(weights_only=True)` reads.

    Args:
        path: Written whole or not at all.
        arch: Variant, see `edgeface.architecture_named`.
        state_dict: Its tensors, under the names of `edgeface.build(arch)`.
        metadata: Plain JSON values about the training.
    """
    backbone = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    checkpoint = {
        "format": FINETUNED_FORMAT,
        "version": _FINETUNED_VERSION,
        "arch": arch,
        "backbone_state_dict": backbone,
        "metadata": dict(metadata) | {"contents_sha256": contents_sha256(backbone)},
    }
    save_checkpoint(path, checkpoint)


def stored_state(weights: Weights, precision: Precision) -> dict[str, Tensor]:
    """Return the tensors in the precision in which they are stored; batch norm's counters stay integers."""
    dtype: torch.dtype = getattr(torch, precision)
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.state_dict.items()
    }


def _rounded(weights: Weights, state: dict[str, Tensor]) -> nn.Module:
    """Return a program's network: rounded to the stored precision, computing in float32 so that it runs anywhere."""
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return load_network(replace(weights, state_dict=floats))


def _save_script(network: nn.Module, path: Path, extra: dict[str, str]) -> None:
    with warnings.catch_warnings(), no_deprecation_notices(), torch.no_grad():
        warnings.filterwarnings("ignore", "Converting a tensor")
        script = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, torch.zeros(2, 3, INPUT_SIZE_PX, INPUT_SIZE_PX)
        )
        write_with(path, lambda buffer: torch.jit.save(script, buffer, _extra_files=extra))


def _save_exported(network: nn.Module, path: Path, extra: dict[str, str]) -> None:
    batch = torch.export.Dim("batch", min=1, max=_MOST_FACES)
    example = (torch.zeros(2, 3, INPUT_SIZE_PX, INPUT_SIZE_PX),)
    with no_deprecation_notices():
        program = torch.export.export(network, example, dynamic_shapes=({0: batch},))
        write_with(path, lambda buffer: torch.export.save(program, buffer, extra_files=extra))
