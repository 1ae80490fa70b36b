"""TorchScript files and `torch.export` programs: read without trusting what they bring along, run on any batch."""

import io
import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facial_rec.loading.containers import Container
from facial_rec.loading.exported import check_exported, exported_tensors
from facial_rec.loading.pickles import check_zip_pickle
from facial_rec.loading.refusals import DamagedError, UnsafeError
from facial_rec.loading.torch_notices import no_deprecation_notices

_DEVICE = re.compile(rb'torch\.device\("[a-z]+(:\d+)?"\)')
# TorchScript text can reach the disk through these operators; nothing in a face network does.
_REACHES_OUT = re.compile(
    rb"\b(?:torch|ops\.\w+)\.(save|load|from_file|_save|print|warn)\b|\bops\.(?!aten|prim|quantized)\w+\."
)
METADATA_FILE = "edgeface_metadata.json"


@dataclass(frozen=True)
class Program:
    """A network that brings its own code.

    Attributes:
        source: The file.
        container: `Container.TORCHSCRIPT` or `Container.EXPORTED`.
        state_dict: Its tensors, under its own names.
        metadata: What the file says of itself.
        script: The TorchScript module on the CPU; None for an exported program, which is built only when needed.
    """

    source: Path
    container: Container
    state_dict: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    script: nn.Module | None = None

    def on(self, device: torch.device) -> nn.Module:
        """Return the network as a black box on a device: (B, 3, 112, 112) in [-1, 1] -> (B, D), any B."""
        if self.script is not None:
            return AnyBatch(self.script if device.type == "cpu" else load_script(self.source, device))
        return AnyBatch(_load_exported(self.source, device))


def open_program(path: Path, container: Container) -> Program:
    """Open a program and read its tensors.

    Raises:
        UnsafeError: It could reach beyond its own computation.
        DamagedError: It cannot be read whole.
    """
    if container is Container.EXPORTED:
        check_exported(path)
        return Program(path, container, exported_tensors(path), _metadata(path))
    script = load_script(path, torch.device("cpu"))
    return Program(path, container, _script_tensors(script), _metadata(path), script)


def load_script(path: Path, device: torch.device) -> nn.Module:
    """Load a TorchScript file onto a device, whatever device it was traced on.

    Tracing writes the device into the text of the program, so that it fails on any other; the text is corrected first.

    Raises:
        UnsafeError: Its text calls operators that reach the disk or are not torch's own.
        DamagedError: It cannot be read whole.
    """
    check_zip_pickle(path)
    with zipfile.ZipFile(path) as archive:
        texts = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    check_script_text(path, texts)
    try:
        with no_deprecation_notices():
            module: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                _retargeted(path, texts, device), map_location=device
            )
            return module.eval()
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DamagedError(f"{path}: not readable as TorchScript ({reason}); trace it again with this torch") from None


def check_script_text(path: Path, texts: dict[str, bytes]) -> None:
    """Refuse TorchScript whose text could read or write files.

    Args:
        path: The file, for messages.
        texts: Entry to program text.

    Raises:
        UnsafeError: With the operator; nothing was run.
    """
    for text in texts.values():
        if match := _REACHES_OUT.search(text):
            operator = match.group().decode()
            raise UnsafeError(f"{path}: its program calls {operator}, which a face network never does; nothing was run")


class AnyBatch(nn.Module):
    """Runs a program that may have been traced or exported for one batch size on any batch."""

    def __init__(self, program: nn.Module):
        super().__init__()
        self.program = program
        self.batch_size: int | None = None

    def forward(self, faces: Tensor) -> Tensor:
        """Map (B, 3, 112, 112) to (B, D)."""
        if self.batch_size is None:
            try:
                return self._run(faces)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, AssertionError, ValueError):
                self.batch_size = self._accepted(faces)
        size = self.batch_size
        padding = -len(faces) % size
        padded = torch.cat([faces, faces[:1].expand(padding, -1, -1, -1)])
        return torch.cat([self._run(chunk.contiguous()) for chunk in torch.split(padded, size)])[: len(faces)]

    def _accepted(self, faces: Tensor) -> int:
        """Return the first batch size that the program takes."""
        for size in (1, 2, 4, 8, 16, 32, 64):
            try:
                if len(self._run(faces[:1].expand(size, -1, -1, -1).contiguous())) == size:
                    return size
            except (RuntimeError, AssertionError, ValueError):
                continue
        raise DamagedError(f"a program that takes no batch of {tuple(faces.shape[1:])} faces; export it for 3x112x112")

    def _run(self, faces: Tensor) -> Tensor:
        with no_deprecation_notices():
            embeddings = self.program(faces)
        if not isinstance(embeddings, Tensor) or embeddings.dim() != 2 or len(embeddings) != len(faces):
            raise ValueError("the program does not map faces to one embedding each")
        return embeddings


def _retargeted(path: Path, texts: dict[str, bytes], device: torch.device) -> Path | io.BytesIO:
    """Return the file, or a copy of it with the device in the program's text replaced where it is another one."""
    named = f'torch.device("{device}")'.encode()
    if all(match.group() == named for text in texts.values() for match in _DEVICE.finditer(text)):
        return path
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as target:
        for name in archive.namelist():
            target.writestr(name, _DEVICE.sub(named, texts[name]) if name in texts else archive.read(name))
    copy.seek(0)
    return copy


def _script_tensors(script: nn.Module) -> dict[str, Any]:
    """Return the state of a script, with quantised linears unpacked into the pair that checkpoints keep."""
    state: dict[str, Any] = dict(script.state_dict())
    for name, module in script.named_modules():
        packed = getattr(module, "_packed_params", None)
        if isinstance(packed, torch.ScriptObject):
            state[f"{name}._packed_params"] = torch.ops.quantized.linear_unpack(packed)
    return state


def _load_exported(path: Path, device: torch.device) -> nn.Module:
    from torch.export.passes import move_to_device_pass

    try:
        with no_deprecation_notices():
            program = torch.export.load(path)
            return move_to_device_pass(program, str(device)).module()
    except Exception as error:  # torch.export raises classes of its own that have no public base
        reason = " ".join(str(error).split())[:120]
        raise DamagedError(f"{path}: not readable as a torch.export program ({reason}); export it again") from None


def _metadata(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.partition("/")[2] in (f"extra/{METADATA_FILE}", METADATA_FILE)
        ]
        try:
            found = json.loads(archive.read(names[0])) if names else {}
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}
