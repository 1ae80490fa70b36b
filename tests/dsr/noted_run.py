"""A training whose batches are written down as they begin, to be started from the tests and killed by them."""

from pathlib import Path

import torch

from dataset.batches import Batch, LowResolutionBatches
from dsr.train_dsr import main


def noted_run(given: list[str], notes: Path) -> None:
    """Run `train_dsr` with these arguments, on one thread."""
    original = LowResolutionBatches.at

    def noting(self: LowResolutionBatches, epoch: int, index: int) -> Batch:
        with notes.open("a") as file:
            file.write(f"{epoch * len(self) + index}\n")
        return original(self, epoch, index)

    LowResolutionBatches.at = noting  # type: ignore[method-assign]
    torch.set_num_threads(1)
    main(given)


def places(notes: Path) -> list[int]:
    """Return the batches that were begun."""
    return [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []
