"""Every draw of a training is a function of (seed, step): nothing to save, nothing to lose in a crash.

A batch is drawn for all processes together and each takes its share, so that two processes see what one process
with the same global batch would have seen, and a resumed run sees what the uninterrupted one would have seen.
"""

import hashlib

import torch
from torch import Tensor


def generator_for(seed: int, *place: int | str) -> torch.Generator:
    """Return a CPU generator that belongs to this seed and place (stream name, epoch, step), and to no other."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def epoch_rows(count: int, batch: int, seed: int, epoch: int) -> Tensor:
    """Return the rows of every global batch of an epoch: (steps, batch) int64, each row once, the remainder dropped.

    A set smaller than one batch is repeated until it fills one.
    """
    order = torch.randperm(count, generator=generator_for(seed, "order", epoch))
    if count < batch:
        order = order.repeat(-(-batch // count))
    steps = len(order) // batch
    return order[: steps * batch].view(steps, batch)


def share_of(rows: Tensor, rank: int, world: int) -> Tensor:
    """Return this process's part of a global batch along the first dimension."""
    size = len(rows) // world
    return rows[rank * size : (rank + 1) * size]
