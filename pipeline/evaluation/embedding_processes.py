"""Several processes that embed faces, each with the networks in its own memory, on its own device where it has one."""

import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.processes import follow_parent
from pipeline.evaluation.faces import Picture
from pipeline.evaluation.systems import Networks

Load = Callable[[torch.device], Networks]
Faces = list[Picture | None]
Embed = Callable[[Networks, Faces], NDArray[np.float32]]


class EmbeddingProcesses:
    """A pool that starts with the first batch and ends with the `with` block.

    Args:
        count: How many.
        load: Loads the networks in each process; pickled, so a function of a module or a partial of one.
        device: Where to; "cuda" without a number gives each process the next device, round and round.
    """

    def __init__(self, count: int, load: Load, device: torch.device) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork, and Windows has none
        given = load, device, count, context.Value("i", 0)
        self._pool = ProcessPoolExecutor(count, context, _begin, given)

    def __enter__(self) -> "EmbeddingProcesses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, embed: Embed, batches: Iterable[Faces]) -> Iterator[NDArray[np.float32]]:
        """Yield `embed(networks, faces)` of each batch, in their order; batches are read while others are embedded.

        Raises:
            UserError: A process was ended from outside.
        """
        try:
            yield from self._pool.map(partial(_embed, embed), batches)
        except BrokenProcessPool:
            raise UserError(
                "--processes: one of them was ended from outside, as happens where memory is short; run again with "
                "fewer, the embeddings made so far are kept"
            ) from None


def several(count: int, load: Load, device: torch.device) -> "EmbeddingProcesses | nullcontext[None]":
    """Return the pool for a `with` statement, or what gives None where one process is enough."""
    return EmbeddingProcesses(count, load, device) if count > 1 else nullcontext()


def device_of(number: int, device: torch.device) -> torch.device:
    """Return the device of a process: with several CUDA devices, and none named, each process takes the next."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", number % torch.cuda.device_count())


_networks: Networks | None = None
"""What this process embeds with; set once, when it begins."""


def _begin(load: Load, device: torch.device, count: int, begun: "Synchronized[int]") -> None:
    global _networks
    follow_parent()
    logging.getLogger("facial_rec").setLevel(logging.WARNING)  # the first process has said what it loaded
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    with begun.get_lock():
        number, begun.value = begun.value, begun.value + 1
    _networks = load(device_of(number, device))


def _embed(embed: Embed, faces: Faces) -> NDArray[np.float32]:
    if _networks is None:
        raise RuntimeError("this process has not begun")
    return embed(_networks, faces)
