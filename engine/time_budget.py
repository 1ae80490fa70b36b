"""How many batches fit into some hours, by the time that a training's first ones took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator

SKIPPED, TIMED = 8, 24
"""Batches that warm up (compilation, caches), and those that are timed after them."""

UNPLANNED = 1 << 40
"""Stands for the steps of a training until they are known: it warms up, and then keeps its peak rate."""


class TimeBudget:
    """A span of wall-clock time, from the moment this is made.

    Args:
        hours: The span.

    Attributes:
        validation_s: Seconds that one validation took; 0 as long as none did.
    """

    def __init__(self, hours: float) -> None:
        self.hours = hours
        self._begun = time.perf_counter()
        self._batches = 0
        self._timed_from = self._begun
        self.validation_s = 0.0

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time a validation, which is no part of a batch."""
        begun = time.perf_counter()
        yield
        self.validation_s = time.perf_counter() - begun
        self._timed_from += self.validation_s

    def count(self) -> bool:
        """Count a batch; return whether enough were timed."""
        self._batches += 1
        if self._batches == SKIPPED:
            self._timed_from = time.perf_counter()
        return self._batches == SKIPPED + TIMED

    def batches_left(self, per_validation: int, accelerator: Accelerator) -> tuple[int, float]:
        """Return how many more batches fit, with their validations, and the seconds of one; alike on all processes.

        Args:
            per_validation: Batches between two validations; one more ends the run.
            accelerator: Of the training.
        """
        now = time.perf_counter()
        measured = [(now - self._timed_from) / TIMED, self.validation_s, now - self._begun]
        mine = torch.tensor(measured, dtype=torch.float32, device=accelerator.device)
        batch_s, validation_s, spent_s = accelerator.reduce(mine, "mean").tolist()
        left_s = 3600 * self.hours - spent_s - validation_s
        return max(0, int(left_s / (batch_s + validation_s / per_validation))), batch_s
