"""What the loader says while it works: `[EdgeFace] ...` lines on stderr, and log records of the logger "facial_rec"."""

import logging
import sys

from facial_rec.loading.containers import PROGRAMS, Container, WeightsFile
from facial_rec.loading.tensors import RawTensors
from facial_rec.loading.weights import Weights

_log = logging.getLogger("facial_rec")


class _Stderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time, unless the application has set logging up itself."""

    def emit(self, record: logging.LogRecord) -> None:
        if not any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers):
            print(f"[EdgeFace] {record.getMessage()}", file=sys.stderr, flush=True)


def announce(text: str) -> None:
    """Tell the user one step of loading."""
    if not any(isinstance(handler, _Stderr) for handler in _log.handlers):
        _log.addHandler(_Stderr())
    if _log.level == logging.NOTSET:
        _log.setLevel(logging.INFO)
    _log.info(text)


def announce_container(file: WeightsFile) -> None:
    """Tell what a file without a program is; a program is told once it is loaded."""
    if file.container not in PROGRAMS:
        announce(f"TorchScript load failed: not a TorchScript archive but {file.container}")
        announce("Falling back to EdgeFace architecture loading")


def announce_program(raw: RawTensors) -> None:
    """Tell that a program was loaded, where there is one."""
    if raw.program is not None:
        container = raw.file.container
        name = "TorchScript model" if container is Container.TORCHSCRIPT else str(container)
        announce(f"Successfully loaded as {name}")


def announce_weights(weights: Weights) -> None:
    """Tell which tensors were loaded, and which were left out."""
    announce(f"Loaded {weights.kind} backbone weights")
    published = f", the published {weights.official}" if weights.official else ""
    ignored = ""
    if weights.ignored:
        shown = ", ".join(weights.ignored[:3])
        ignored = f"; {len(weights.ignored)} tensors beside the network ignored ({shown})"
    announce(f"{weights.arch}, {weights.dtype}, sha256 {weights.sha256[:12]}{published}{ignored}")
