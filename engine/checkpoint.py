"""Checkpoints: written whole, checked before use, never unpickled as code."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine.errors import UserError
from engine.files import write_bytes


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged or of another kind."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a dict of tensors and plain values atomically; the earlier file stays until the new one is whole."""
    write_with(path, lambda buffer: torch.save(state, buffer))


def write_with(path: Path, save: Callable[[io.BytesIO], Any]) -> None:
    """Write atomically what one of torch's writers puts into a buffer.

    On a full disk they report an internal error of their own; a plain write names it.
    """
    buffer = io.BytesIO()
    save(buffer)
    write_bytes(path, buffer.getbuffer())


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint whose `format` is `kind`, on the CPU.

    The archive's own CRC of each tensor is verified, so that a flipped bit is an error and not a worse model.

    Raises:
        CheckpointError: The file is missing, damaged, not a checkpoint, or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path}: damaged ({damaged} fails its CRC); use an earlier checkpoint")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error}); use an earlier one") from None
    found = state.get("format") if isinstance(state, dict) else type(state).__name__
    if found != kind:
        raise CheckpointError(f"{path}: holds {found or 'no format mark'}, expected {kind}; check the path")
    return dict(state)
