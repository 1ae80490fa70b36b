"""Embeddings on disk, keyed by all they depend on: a second evaluation embeds nothing, an interrupted one continues."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.files import write_text

BLOCK = 1024  # rows that an interruption can cost
_VERSION = 1

EmbedRows = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Row numbers (B,) -> (B, ...) float32."""


class EmbeddingCache:
    """A folder of embedding arrays.

    Args:
        folder: Where the arrays stand; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, key: dict[str, Any], count: int, embed: EmbedRows) -> NDArray[np.float32]:
        """Return (count, ...) embeddings, from the folder or by `embed`.

        Args:
            key: All that the embeddings depend on: hashes of weights and data, options.
            count: Number of rows.
            embed: Called with consecutive blocks of row numbers.
        """
        blocks = [np.arange(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
        if self.folder is None:
            return np.concatenate([embed(rows) for rows in blocks])
        name = hashlib.sha256(json.dumps([_VERSION, count, key], sort_keys=True).encode()).hexdigest()[:32]
        whole, part = self.folder / f"{name}.npy", self.folder / f"{name}.part.npy"
        if not whole.is_file():
            self._fill(part, blocks, embed)
            part.replace(whole)
            _progress_of(part).unlink()
        return np.asarray(np.load(whole, mmap_mode="r"), np.float32)

    def _fill(self, part: Path, blocks: list[NDArray[np.int64]], embed: EmbedRows) -> None:
        part.parent.mkdir(parents=True, exist_ok=True)
        progress = _progress_of(part)
        done = int(progress.read_text()) if progress.is_file() and part.is_file() else 0
        table = np.lib.format.open_memmap(part, "r+") if done else None
        for number, rows in enumerate(blocks):
            if number < done:
                continue
            values = embed(rows)
            if table is None:
                shape = (int(blocks[-1][-1]) + 1, *values.shape[1:])
                table = np.lib.format.open_memmap(part, "w+", np.float32, shape)
            table[rows] = values
            table.flush()
            write_text(progress, str(number + 1))


def _progress_of(part: Path) -> Path:
    return part.with_suffix(".done")
