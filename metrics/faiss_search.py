"""1:N searches through a compressed FAISS index, for galleries that memory cannot hold or that are searched often.

The index keeps a byte a value, a quarter of the float32 embeddings; of a large gallery it looks at a part. What it
finds is compared again exactly, so that scores are exact and only a template that the index overlooks is missed. How
often that happens is measured against the exact search on some of the probes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from metrics.comparisons import FAILED_SCORE
from metrics.identification import Searches
from metrics.streamed_search import Floats, stream_searches

SHORTLIST = 50
CHECKED = 100
_TRAINING = 100_000
_BLOCK = 1 << 16
_LISTED = 100_000
"""Up to so many templates all are looked at; beyond, those of the nearest eighth of the lists."""


@dataclass(frozen=True)
class Check:
    """How often the index agrees with the exact search.

    Attributes:
        index: Its FAISS description.
        checked: Probes searched both ways.
        agreeing: Share of them with the same rank within the shortlist or the same top score.
    """

    index: str
    checked: int
    agreeing: float


class FaissGallery:
    """Templates in a compressed index.

    Args:
        parts: (N, D) arrays or memory maps, numbered through.

    Raises:
        UserError: FAISS is not installed.
    """

    def __init__(self, parts: Sequence[Floats]) -> None:
        try:
            import faiss  # an extra
        except ImportError:
            raise UserError(
                "--search faiss: FAISS is not installed; install the extra faiss, or search exact"
            ) from None
        self.parts = list(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        total, dimension = int(self.starts[-1]), self.parts[0].shape[1]
        lists = int(4 * total**0.5) if total > _LISTED else 0
        self.description = f"IVF{lists},SQ8" if lists else "SQ8"
        index: Any = faiss.index_factory(dimension, self.description, faiss.METRIC_INNER_PRODUCT)
        chosen = np.sort(np.random.default_rng(0).permutation(total)[:_TRAINING])
        index.train(self.rows(chosen))
        for part in self.parts:
            for start in range(0, len(part), _BLOCK):
                index.add(_finite(np.asarray(part[start : start + _BLOCK], np.float32)))
        if lists:
            index.nprobe = max(1, lists // 8)
        self._index = index

    def rows(self, numbers: NDArray[np.int64]) -> Floats:
        """Return the templates with these numbers; NaN as zeros."""
        part = np.searchsorted(self.starts, numbers, "right") - 1
        found = np.zeros((len(numbers), self.parts[0].shape[1]), np.float32)
        for number in np.unique(part):
            inside = part == number
            found[inside] = self.parts[number][numbers[inside] - self.starts[number]]
        return _finite(found)

    def shortlist(self, probes: Floats, count: int = SHORTLIST) -> tuple[Floats, NDArray[np.int64]]:
        """Return (P, count) exact scores and template numbers; FAILED_SCORE and -1 where less was found."""
        _, numbers = self._index.search(_finite(probes), count)
        found = self.rows(np.maximum(numbers, 0).reshape(-1)).reshape(*numbers.shape, -1)
        scores = np.einsum("pd,pcd->pc", probes, found)
        scores[(numbers < 0) | np.isnan(scores)] = FAILED_SCORE
        return scores, numbers


def search_by_faiss(
    probes: Floats,
    probe_person: NDArray[np.int64],
    templates: Floats,
    people: NDArray[np.int64],
    strangers: Sequence[Floats] = (),
) -> tuple[Searches, Check]:
    """Search like `stream_searches`, through an index; ranks beyond its shortlist are those of its end."""
    gallery = FaissGallery([templates, *strangers])
    found = _searches(gallery, probes, probe_person, people)
    checked = np.sort(np.random.default_rng(0).permutation(len(probes))[:CHECKED])
    exact = stream_searches(probes[checked], probe_person[checked], templates, people, strangers)
    mated = np.isin(probe_person, people)
    ranks = found.rank[np.searchsorted(np.flatnonzero(mated), checked[mated[checked]])]
    tops = found.top[np.searchsorted(np.flatnonzero(~mated), checked[~mated[checked]])]
    same = int((ranks == np.minimum(exact.rank, SHORTLIST + 1)).sum()) + int(
        np.isclose(tops, exact.top, atol=1e-5).sum()
    )
    return found, Check(gallery.description, len(checked), same / max(1, len(checked)))


def _searches(
    gallery: FaissGallery, probes: Floats, probe_person: NDArray[np.int64], people: NDArray[np.int64]
) -> Searches:
    mated = np.isin(probe_person, people)
    own = np.searchsorted(people, probe_person[mated])
    scores, numbers = gallery.shortlist(probes)
    known = probes[mated]
    mate = np.nan_to_num(np.einsum("nd,nd->n", known, gallery.parts[0][own]), nan=FAILED_SCORE)
    ahead = (scores[mated] >= mate[:, None]) & (numbers[mated] != own[:, None]) & (numbers[mated] >= 0)
    return Searches(mate, 1 + ahead.sum(axis=1), scores[~mated].max(axis=1), int(gallery.starts[-1]))


def _finite(values: Floats) -> Floats:
    return np.nan_to_num(values, nan=0.0)
