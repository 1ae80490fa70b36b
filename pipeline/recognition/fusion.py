"""Several embeddings of one person to one: NumPy only, as small devices need it.

Frames that follow each other show one moment again and again; a mean of them all would count it as often. Embeddings
that are nearly the same share one voice instead: each weighs 1 / (how many are like it, itself among them). And a face
weighs as its pixels: twice the native size, four times the voice (docs/results.md has what that is worth).
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
    weights, moments = voices(embeddings, sizes_px), float(moment_shares(embeddings).sum())
    size = float(weights @ sizes_px / weights.sum())
    return Fused(unit(weights @ embeddings), round(size), len(embeddings), moments)


def voices(embeddings: Floats, sizes_px: NDArray[np.number]) -> Floats:
    """Return the (N,) weights of (N, D) unit embeddings of native sizes (N,): 1 for the largest face, seen once."""
    return np.asarray(moment_shares(embeddings) * (sizes_px / sizes_px.max()) ** 2, np.float32)


def moment_shares(embeddings: Floats) -> Floats:
    """Return the (N,) voices of (N, D) unit embeddings: 1 where one is alone, 1 / n for each of n that are alike."""
    alike = np.count_nonzero(embeddings @ embeddings.T >= SAME_MOMENT, axis=1)
    return np.asarray(1 / np.maximum(alike, 1), np.float32)


def unit(vectors: Floats) -> Floats:
    """Bring (..., D) to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12), np.float32)
