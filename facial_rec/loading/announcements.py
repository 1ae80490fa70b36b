"""What the loader says while it works: `[EdgeFace] ...` lines on stderr, and log records of the logger "facial_rec"."""

import logging
import sys

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
