"""Ctrl-C that lets the current step finish and the run be saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C (or SIGTERM) into a request; a further Ctrl-C ends the process at once.

    The loop checks `request.requested` after each step, saves, and raises `KeyboardInterrupt` itself. A SIGTERM never
    ends at once: torchrun sends one right after the Ctrl-C that the process has had already.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request.requested:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        request.requested = True
        print("\nstopping after this step and saving; press Ctrl-C again to stop at once", flush=True)

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
