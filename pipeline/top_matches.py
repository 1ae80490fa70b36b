"""The best matches of many probes in a gallery of any size, exact, in bounded memory. NumPy only.

The gallery may be a memory map: it is read once, block by block. After the first block few scores beat the worst of
those kept, so that a block costs its matrix product and one comparison pass.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_BLOCK = 1 << 14


def top_matches(probes: Floats, gallery: Floats, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return (P, count) scores and gallery rows, best first; of equal scores the lower row first.

    Args:
        probes: (P, D) unit embeddings.
        gallery: (N, D) unit embeddings, an array or a memory map.
        count: Matches of each probe; at most N are given.
    """
    count = min(count, len(gallery))
    best = np.full((len(probes), count), -np.inf, np.float32)
    rows = np.full((len(probes), count), len(gallery), np.int64)
    buffer = np.empty((len(probes), min(_BLOCK, len(gallery))), np.float32)
    for start in range(0, len(gallery), _BLOCK):
        part = np.asarray(gallery[start : start + _BLOCK])
        scores = np.matmul(probes, part.T, out=buffer[:, : len(part)])
        if start == 0:
            columns = np.argpartition(scores, len(part) - min(count, len(part)), axis=1)[:, -count:]
            probe, column = np.divmod(np.arange(columns.size), columns.shape[1])
            column = columns.reshape(-1)
        else:
            probe, column = np.nonzero(scores > best[:, -1:])
        _merge(best, rows, probe, scores[probe, column], column + start)
    return best, rows


def _merge(
    best: Floats, rows: NDArray[np.int64], probe: NDArray[np.int64], scores: Floats, found: NDArray[np.int64]
) -> None:
    """Put candidates among those kept, in place."""
    bounds = np.searchsorted(probe, np.arange(len(best) + 1))
    for number in np.unique(probe):
        mine = slice(bounds[number], bounds[number + 1])
        values, places = np.append(best[number], scores[mine]), np.append(rows[number], found[mine])
        order = np.lexsort((places, -values))[: best.shape[1]]
        best[number], rows[number] = values[order], places[order]
