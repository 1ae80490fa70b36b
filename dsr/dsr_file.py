"""Files of a trained super-resolver: one format, checked whole."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from dsr.network import DSR, PRESETS
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.errors import UserError
from engine.files import write_bytes

FORMAT = "dsr"
PRETRAINED = Path(__file__).parent / "pretrained" / "dsr.safetensors"


class DSRWeightsError(UserError):
    """A file that is not a whole super-resolver."""


def save_dsr(path: Path, model: DSR, metadata: dict[str, Any], dtype: torch.dtype = torch.float32) -> None:
    """Write the network to `path` atomically: `.safetensors`, or a `.pth` checkpoint."""
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        header = {"format": FORMAT, "preset": model.preset, "metadata": json.dumps(metadata)}
        write_bytes(path, serialise(state, metadata=header))
    else:
        save_checkpoint(path, {"format": FORMAT, "preset": model.preset, "model": state, "metadata": metadata})


def dsr_file(name: str | Path | None) -> Path:
    """Return the file of a super-resolver: None and "default" are the one that ships with the package."""
    return PRETRAINED if name in (None, "default") else Path(str(name))


def load_dsr(path: str | Path | None, device: torch.device | str = "cpu") -> DSR:
    """Return the super-resolver of a file, in evaluation mode and frozen.

    Args:
        path: `best.pth` of a run, a `.safetensors`, or None or "default" for the one that ships with the package.
        device: Where it is placed, in float32.

    Raises:
        DSRWeightsError: No such file, not a super-resolver, or tensors missing, left over or of another shape.
        CheckpointError: A damaged checkpoint.
    """
    source = dsr_file(path)
    preset, state = _read_safetensors(source) if source.suffix == ".safetensors" else _read_checkpoint(source)
    if preset not in PRESETS:
        raise DSRWeightsError(f"{source}: unknown preset {preset!r}, expected one of {', '.join(PRESETS)}")
    model = DSR(preset)
    _match(source, model, state)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return model.to(device).eval().requires_grad_(False)


def _match(source: Path, model: DSR, state: dict[str, Tensor]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        raise DSRWeightsError(
            f"{source}: {len(wrong)} of {len(expected)} tensors do not fit preset {model.preset} "
            f"({first}: {found.get(first, 'missing')}, expected {expected.get(first, 'none')}); use another file"
        )
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DSRWeightsError(f"{source}: {broken[0]} holds NaN or infinite values; use an earlier checkpoint")


def _read_checkpoint(source: Path) -> tuple[str, dict[str, Tensor]]:
    state = load_checkpoint(source, FORMAT)
    tensors = state.get("model")
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise DSRWeightsError(f"{source}: a super-resolver's checkpoint without its weights; use another file")
    return str(state.get("preset")), tensors


def _read_safetensors(source: Path) -> tuple[str, dict[str, Tensor]]:
    if not source.is_file():
        raise DSRWeightsError(f"{source}: no such file; train one with python -m dsr.train_dsr, or check the path")
    try:
        with safe_open(source, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise DSRWeightsError(f"{source}: not a whole safetensors file ({error}); copy it again") from None
    if header.get("format") != FORMAT:
        raise DSRWeightsError(
            f"{source}: holds {header.get('format', 'no format mark')}, expected {FORMAT}; check the path"
        )
    return header.get("preset", ""), state
