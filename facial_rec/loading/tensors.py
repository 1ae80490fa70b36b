"""From a file to what it holds: one reader a container, and nothing behind this module asks which it was."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from facial_rec.loading.containers import Container, WeightsFile
from facial_rec.loading.exported import check_exported, exported_tensors
from facial_rec.loading.pickles import check_checkpoint, check_legacy_checkpoint
from facial_rec.loading.programs import Program
from facial_rec.loading.refusals import DamagedError
from facial_rec.loading.torch_notices import no_deprecation_notices
from facial_rec.loading.torchscript import load_script, script_tensors

METADATA_FILE = "edgeface_metadata.json"


@dataclass(frozen=True)
class RawTensors:
    """What a file holds, as it was stored.

    Attributes:
        file: Where it comes from.
        stored: Names and tensors, or whatever a checkpoint wraps around them.
        metadata: What the file says of itself.
        program: The code that came with the tensors; None where there is none.
        mapped: Whether the tensors are the file itself, which may be replaced on disk.
    """

    file: WeightsFile
    stored: Any
    metadata: dict[str, Any] = field(default_factory=dict)
    program: Program | None = None
    mapped: bool = False


def read_tensors(file: WeightsFile) -> RawTensors:
    """Read all that a file holds, without running anything that it brings along.

    Raises:
        UnsafeError: It could reach beyond its own computation.
        DamagedError: It cannot be read whole.
    """
    return _READERS[file.container](file)


def _checkpoint(file: WeightsFile) -> RawTensors:
    check_checkpoint(file.path)
    return _unpickled(file)


def _legacy(file: WeightsFile) -> RawTensors:
    check_legacy_checkpoint(file.path)
    return _unpickled(file)


def _unpickled(file: WeightsFile) -> RawTensors:
    try:
        with no_deprecation_notices():
            stored = torch.load(file.path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError) as error:
        raise _unreadable(file.path, error) from None
    except Exception as error:
        # weights_only unpickling reports every fault as a pickle.UnpicklingError, whatever its cause.
        raise _unreadable(file.path, error) from None
    return RawTensors(file, stored, _plain_metadata(stored))


def _safetensors(file: WeightsFile) -> RawTensors:
    try:
        with safe_open(file.path, framework="pt", device="cpu") as opened:
            stored = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            return RawTensors(file, stored, dict(opened.metadata() or {}), mapped=True)
    except (SafetensorError, RuntimeError, ValueError, TypeError, OSError) as error:
        raise _unreadable(file.path, error) from None


def _torchscript(file: WeightsFile) -> RawTensors:
    script = load_script(file.path, torch.device("cpu"))
    return RawTensors(file, script_tensors(script), _metadata_beside(file.path), Program(file.path, script))


def _exported(file: WeightsFile) -> RawTensors:
    check_exported(file.path)
    return RawTensors(file, exported_tensors(file.path), _metadata_beside(file.path), Program(file.path))


_READERS: dict[Container, Callable[[WeightsFile], RawTensors]] = {
    Container.CHECKPOINT: _checkpoint,
    Container.LEGACY: _legacy,
    Container.SAFETENSORS: _safetensors,
    Container.TORCHSCRIPT: _torchscript,
    Container.EXPORTED: _exported,
}


def _unreadable(path: Path, error: Exception) -> DamagedError:
    return DamagedError(f"{path}: cannot be read whole ({' '.join(str(error).split())[:120]}); download it again")


def _plain_metadata(stored: Any) -> dict[str, Any]:
    """Keep what a checkpoint says of itself: short plain values, and its own `metadata`."""
    if not isinstance(stored, Mapping):
        return {}
    plain = {
        str(name): value
        for name, value in stored.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) < 200
    }
    own = stored.get("metadata")
    return plain | (dict(own) if isinstance(own, Mapping) else {})


def _metadata_beside(path: Path) -> dict[str, Any]:
    """Read what this project writes beside a program."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.partition("/")[2] in (f"extra/{METADATA_FILE}", METADATA_FILE)
        ]
        try:
            found = json.loads(archive.read(names[0])) if names else {}
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}
