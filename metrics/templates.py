"""Templates of several images of a person, of which some may come from one video. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from metrics.verification import Array


def media_templates(
    embeddings: Array, template: NDArray[np.integer], media: NDArray[np.integer], weights: Array | None = None
) -> tuple[NDArray[np.int64], Array]:
    """Return the set-based templates of IJB's protocol: a video, however long, speaks as loud as a still.

    The faces of one medium are averaged, the media are summed, the sum gets length 1 (Whitelam et al., IARPA Janus
    Benchmark-B, CVPR Workshops 2017; so computed by InsightFace, `recognition/_evaluation_/ijb/ijb_11.py`).

    Args:
        embeddings: (N, D) of unit length; rows of NaN are failures and take no part.
        template: (N,) which template each face belongs to.
        media: (N,) which picture or video it is from.
        weights: (N,) by which embeddings are multiplied first, such as a detector's confidence.

    Returns:
        (T,) ascending numbers of the templates, and (T, D); NaN where no face could be read.
    """
    there = ~np.isnan(embeddings[:, 0])
    faces = embeddings[there] if weights is None else embeddings[there] * weights[there, None]
    each, medium = np.unique(np.column_stack([template[there], media[there]]), axis=0, return_inverse=True)
    sums = _sums(faces, medium.reshape(-1), len(each))
    means = sums / np.bincount(medium.reshape(-1), minlength=len(each))[:, None]
    names = np.unique(template)
    totals = _sums(means, np.searchsorted(names, each[:, 0]), len(names))
    length = np.linalg.norm(totals, axis=1, keepdims=True)
    unit = np.divide(totals, length, out=np.full_like(totals, np.nan), where=length > 0)
    return names.astype(np.int64), unit.astype(embeddings.dtype)


def _sums(rows: Array, number: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return (count, D): the sums of the rows with each number."""
    order = np.argsort(number, kind="stable")
    sums = np.zeros((count, rows.shape[1]))
    filled, starts = np.unique(number[order], return_index=True)
    if len(filled):
        sums[filled] = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    return sums
