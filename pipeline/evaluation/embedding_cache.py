"""Embeddings on disk, keyed by all they depend on: a second evaluation embeds nothing, an interrupted one continues."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from engine.files import user_cache, writable_folder, write_array, write_text

BLOCK = 1024  # rows that an interruption can cost
_VERSION = 2

Embeddings = NDArray[np.float32]


class EmbedRows(Protocol):
    """Embeds consecutive rows by some of the networks."""

    def __call__(self, block: slice, wanted: list[int]) -> Embeddings:
        """Return (B, R, D) embeddings by the R networks with these numbers."""


class EmbeddingCache:
    """A folder of embedding arrays, one for each network, so that another network beside it embeds nothing anew.

    Args:
        folder: Where the arrays stand, or the user's cache where it cannot be written; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, keys: list[dict[str, Any]], count: int, embed: EmbedRows) -> list[Embeddings]:
        """Return the (count, D) embeddings of each network, from the folder or by `embed`.

        Args:
            keys: All that the embeddings of each network depend on: hashes of weights and data, options.
            count: Number of rows.
            embed: Called for the networks that are not in the folder, together.
        """
        blocks = [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
        if self.folder is None:
            values = np.concatenate([embed(rows, list(range(len(keys)))) for rows in blocks])
            return [values[:, column] for column in range(len(keys))]
        names = [_name(count, key) for key in keys]
        if not all((self.folder / f"{name}.npy").is_file() for name in names):
            self.folder = writable_folder(self.folder, "the cache of embeddings", user_cache() / "embeddings")
        files = [self.folder / f"{name}.npy" for name in names]
        while wanted := [number for number, path in enumerate(files) if not path.is_file()]:
            part = self.folder / f"{_name(count, [names[number] for number in wanted])}.part.npy"
            with FileLock(part.with_suffix(".lock")):  # another evaluation that embeds the same is waited for
                if not files[wanted[0]].is_file():
                    table = _fill(part, blocks, partial(embed, wanted=wanted))
                    for column, number in enumerate(wanted):
                        write_array(files[number], table[:, column])
                    part.unlink()
                    _progress_of(part).unlink()
        return [np.asarray(np.load(path, mmap_mode="r"), np.float32) for path in files]


def _fill(part: Path, blocks: list[slice], embed: Callable[[slice], Embeddings]) -> Embeddings:
    """Return the finished table, from where an interrupted run stopped."""
    progress = _progress_of(part)
    done = int(progress.read_text()) if progress.is_file() and part.is_file() else 0
    table = np.lib.format.open_memmap(part, "r+") if done else None
    for number, rows in enumerate(blocks):
        if number < done:
            continue
        values = embed(rows)
        if table is None:
            table = np.lib.format.open_memmap(part, "w+", np.float32, (blocks[-1].stop, *values.shape[1:]))
        table[rows] = values
        table.flush()
        write_text(progress, str(number + 1))
    return np.asarray(table)


def _name(count: int, key: Any) -> str:
    return hashlib.sha256(json.dumps([_VERSION, count, key], sort_keys=True).encode()).hexdigest()[:32]


def _progress_of(part: Path) -> Path:
    return part.with_suffix(".done")
