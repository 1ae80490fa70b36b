"""Several embeddings of one person to one: NumPy only, as small devices need it.

Frames that follow each other show one moment again and again; a mean of them all would count it as often. Embeddings
that are nearly the same share one voice instead: each weighs 1 / (how many are like it, itself among them).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SAME_MOMENT = 0.9
"""Cosine similarity from which on two embeddings of one person show the same moment."""


@dataclass(frozen=True)
class Fused:
    """What several faces of one person say together.

    Attributes:
        embedding: (D,) of unit length.
        size_px: Native size, the mean of the faces' by their weights.
        frames: How many faces it rests on.
        moments: How many they are worth, copies of one moment counted once.
    """

    embedding: Floats
    size_px: int
    frames: int
    moments: float


def fuse(embeddings: Floats, sizes_px: NDArray[np.number]) -> Fused:
    """Fuse (N, D) unit embeddings of one person, N at least 1, whose faces have (N,) native sizes."""
    shares = moment_shares(embeddings)
    total = (shares[:, None] * embeddings).sum(0)
    size = float((shares * sizes_px).sum() / shares.sum())
    unit = (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)
    return Fused(unit, round(size), len(embeddings), float(shares.sum()))


def moment_shares(embeddings: Floats) -> Floats:
    """Return the (N,) voices of (N, D) unit embeddings: 1 where one is alone, 1 / n for each of n that are alike."""
    alike = np.count_nonzero(embeddings @ embeddings.T >= SAME_MOMENT, axis=1)
    return np.asarray(1 / np.maximum(alike, 1), np.float32)
