"""The best matches of many probes in a gallery of any size, exact, in bounded memory. NumPy only.

The gallery may be a memory map: it is read once, block by block. Few scores beat the worst of those kept, so that a
block costs its matrix product and one comparison pass, which finds the scores still in the processor's cache; what
beats it is set aside and put among the best once as much has gathered as is kept.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_BLOCK_SCORES = 1 << 20  # 4 MiB
_FIRST, _LEAST, _MOST = 16, 64, 1 << 14  # gallery rows of a block: at first, with very many probes, with few


def top_matches(probes: Floats, gallery: Floats, count: int) -> tuple[Floats, Rows]:
    """Return (P, count) scores and gallery rows, best first; of equal scores the lower row first.

    A probe of NaN has no matches: scores of -inf and rows of N; a gallery row of NaN is nobody's match.

    Args:
        probes: (P, D) unit embeddings.
        gallery: (N, D) unit embeddings, an array or a memory map.
        count: Matches of each probe; at most N are given.
    """
    count = min(count, len(gallery))
    best = np.full((len(probes), count), -np.inf, np.float32)
    rows = np.full((len(probes), count), len(gallery), np.int64)
    most = min(_MOST, max(_LEAST, _BLOCK_SCORES // max(1, len(probes))))
    buffer, over = np.empty((most, len(probes)), np.float32), np.empty((most, len(probes)), np.bool_)
    start, height, found = 0, min(_FIRST, most), _Found()
    while start < len(gallery):
        part = np.asarray(gallery[start : start + height])
        scores = np.matmul(part, probes.T, out=buffer[: len(part)])
        found.add(scores, np.greater(scores, best[:, -1], out=over[: len(part)]), start)
        start += len(part)
        if found.count >= best.size or start == len(gallery):
            best, rows = found.merged(best, rows)
            found = _Found()
        height = min(2 * height, most)  # a block as large as all before it holds about `count` matches a probe
    return best, rows


class _Found:
    """Scores that beat the worst of those kept when they were met, not yet among the best."""

    def __init__(self) -> None:
        self._probe: list[Rows] = []
        self._row: list[Rows] = []
        self._score: list[Floats] = []
        self.count = 0

    def add(self, scores: Floats, over: NDArray[np.bool_], start: int) -> None:
        """Set aside the marked scores of (rows from `start`, P)."""
        places = np.flatnonzero(over)
        row, probe = np.divmod(places, scores.shape[1])
        self._probe.append(probe)
        self._row.append(row + start)
        self._score.append(scores.reshape(-1)[places])
        self.count += len(places)

    def merged(self, best: Floats, rows: Rows) -> tuple[Floats, Rows]:
        """Return the best of those kept and those set aside."""
        kept = np.repeat(np.arange(len(best)), best.shape[1])
        probe = np.concatenate([kept, *self._probe])
        row = np.concatenate([rows.reshape(-1), *self._row])
        score = np.concatenate([best.reshape(-1), *self._score])
        order = np.lexsort((row, -score, probe))
        starts = np.searchsorted(probe[order], np.arange(len(best)))
        chosen = order[starts[:, None] + np.arange(best.shape[1])]
        return score[chosen], row[chosen]
