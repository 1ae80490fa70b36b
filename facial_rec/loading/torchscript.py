"""TorchScript files: read without letting their text reach beyond the network, onto any device."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facial_rec.loading.pickles import check_zip_pickle
from facial_rec.loading.refusals import DamagedError, UnsafeError
from facial_rec.loading.torch_notices import no_deprecation_notices

_DEVICE = re.compile(rb'torch\.device\("[a-z]+(:\d+)?"\)')
# TorchScript text can reach the disk through these operators; nothing in a face network does.
_REACHES_OUT = re.compile(
    rb"\b(?:torch|ops\.\w+)\.(save|load|from_file|_save|print|warn)\b|\bops\.(?!aten|prim|quantized)\w+\."
)


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


def script_tensors(script: nn.Module) -> dict[str, Any]:
    """Return a script's tensors by name, its quantised linears unpacked into the pair that checkpoints keep."""
    state: dict[str, Any] = dict(script.state_dict())
    for name, module in script.named_modules():
        packed = getattr(module, "_packed_params", None)
        if isinstance(packed, torch.ScriptObject):
            state[f"{name}._packed_params"] = torch.ops.quantized.linear_unpack(packed)
    return state


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
