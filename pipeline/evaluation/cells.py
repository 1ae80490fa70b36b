"""The cells of an evaluation: each system at each input size, and the embeddings of each."""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.faces import HR_PX
from pipeline.evaluation.systems import System

Embeddings = NDArray[np.float32]
Cell = tuple[str, int]
"""Key of the system, and input size in pixels."""


def cells_of(systems: list[System], sizes_px: tuple[int, ...]) -> list[tuple[System, int]]:
    """Return every row of the table: low-resolution systems at each size, HR ones once."""
    low = [(system, size) for size in sizes_px for system in systems if not system.hr]
    return low + [(system, HR_PX) for system in systems if system.hr]


def embed_cells(
    embedder: Embedder, systems: list[System], sizes_px: tuple[int, ...], rows: NDArray[np.int64] | None = None
) -> dict[Cell, Embeddings]:
    """Embed the split, or these rows of it, by every system at every size, front by front."""
    found: dict[Cell, Embeddings] = {}
    for size in (*sizes_px, HR_PX):
        group = [system for system in systems if system.hr == (size == HR_PX)]
        found |= {(key, size): values for key, values in embedder.embed(group, size, rows).items()}
    return found
