"""Where faces that show nothing lie: the mean of all embeddings of a size, measured on development people.

The smaller a face, the nearer its embedding lies to that mean, and the more alike it is to everybody (Deng et al.,
"Harnessing Unrecognizable Faces for Improving Face Recognition", arXiv 2106.04112). Taken away from both sides of a
comparison, it no longer counts as likeness, and what is left of a face that shows nothing is short.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.faces import HR_PX, NATIVE_PX
from pipeline.evaluation.systems import System

Floats = NDArray[np.float32]
Centres = dict[int, Floats]
"""Native size to the (D,) mean of its unit embeddings."""

MOST_FACES = 2000
"""Faces that a centre is the mean of: its error falls with their root."""


def measure_centres(embedder: Embedder, system: System, sizes_px: tuple[int, ...]) -> Centres:
    """Return the centres at these sizes and at full size, of at most `MOST_FACES` faces spread over the split.

    Args:
        embedder: Of the development split.
        system: What embeds low-resolution faces; full-size ones are embedded by what enrols for it.
        sizes_px: Native sizes; photographs of any have no centre.
    """
    count = len(embedder.split)
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_FACES)).round().astype(np.int64))
    gallery = next(entry for entry in embedder.networks.systems() if entry.key == system.gallery)
    embeddings = {size: embedder.embed([system], size, rows)[system.key] for size in sizes_px if size != NATIVE_PX}
    embeddings[HR_PX] = embedder.embed([gallery], HR_PX, rows)[gallery.key]
    return {size: centre_of(values) for size, values in embeddings.items()}


def centre_of(embeddings: Floats) -> Floats:
    """Return the (D,) mean of (N, D) unit embeddings, of which those that failed are NaN."""
    return np.asarray(np.nanmean(embeddings, axis=0), np.float32)


def take_away(centres: Centres, embeddings: Floats, sizes_px: NDArray[np.integer]) -> Floats:
    """Return (..., D) embeddings of native sizes (...,) without their centre: shorter than 1 where little is left."""
    left = embeddings.copy()
    for size in np.unique(sizes_px):
        left[sizes_px == size] -= centres[int(size)]
    return left
