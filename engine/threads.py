"""How many threads small tensors get."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread, for tensors so small that threads wait for each other longer than they work.

    On a machine that has other things to do the difference is a factor of ten.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
