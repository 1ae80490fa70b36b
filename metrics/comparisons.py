"""Scores of all comparisons between two sets of faces, block by block in bounded memory. NumPy only.

Faces are sorted by person first, so that a probe's genuine comparisons are one slice of its row and its impostors
the two slices around it: rows are copied, never masked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.verification import Array, ScoreError

FAILED_SCORE = -2.0
"""What a comparison with an unreadable face scores: below every cosine, so that it is rejected at any threshold."""

_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class PairScores:
    """Scores of all pairs.

    Attributes:
        genuine: (G,) scores of two images of one person.
        impostor: (I,) scores of images of two people.
        genuine_rows: (G, 2) row of the probe and of the gallery face.
    """

    genuine: Array
    impostor: Array
    genuine_rows: NDArray[np.int32]
    _order: NDArray[np.int32]
    _first: NDArray[np.int64]
    _last: NDArray[np.int64]

    def impostor_rows(self, positions: NDArray[np.integer] | None = None) -> NDArray[np.int32]:
        """Return (B, 2) row of the probe and of the gallery face of these impostor scores (None: of all).

        They follow from the order of the scores, so that they need not be kept beside them.
        """
        if positions is None:
            positions = np.arange(len(self.impostor))
        mates, starts = self._last - self._first, self._starts()
        probe = np.searchsorted(starts, positions, "right") - 1
        column = positions - starts[probe]
        column += np.where(column >= self._first[probe], mates[probe], 0)
        return np.column_stack([probe.astype(np.int32), self._order[column]])

    def impostors_among(self, member: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the positions of the impostor scores of two members: (N,), the same rows on both sides."""
        columns, starts = np.flatnonzero(member[self._order]), self._starts()
        found = [np.empty(0, np.int64)]
        for probe in np.flatnonzero(member):
            first, last = self._first[probe], self._last[probe]
            low, high = np.searchsorted(columns, [first, last])
            found += [starts[probe] + columns[:low], starts[probe] + columns[high:] - (last - first)]
        return np.concatenate(found)

    def _starts(self) -> NDArray[np.int64]:
        """Return (N + 1,) where the impostor scores of each probe begin."""
        return np.append(0, np.cumsum(len(self._order) - (self._last - self._first)))


def readable(ascending: Array) -> Array:
    """Return those of the sorted scores whose comparisons did not fail."""
    return ascending[np.searchsorted(ascending, ascending.dtype.type(FAILED_SCORE), "right") :]


def score_blocks(probes: Array, gallery: Array, block_bytes: int = _BLOCK_BYTES) -> Iterator[tuple[int, Array]]:
    """Yield (first row, scores (B, M)) of consecutive blocks of probes against the whole gallery.

    A block is valid until the next is asked for: its memory is used again.

    Args:
        probes: (N, D) unit embeddings; rows with NaN are failures.
        gallery: (M, D) unit embeddings.
        block_bytes: Memory of a block.
    """
    height = max(1, min(len(probes), block_bytes // (probes.dtype.itemsize * max(1, len(gallery)))))
    buffer = np.empty((height, len(gallery)), np.result_type(probes, gallery))
    failed = np.flatnonzero(np.isnan(gallery[:, 0]))
    turned = np.ascontiguousarray(gallery.T) if len(failed) else gallery.T
    for start in range(0, len(probes), height):
        part = probes[start : start + height]
        scores = np.matmul(part, turned, out=buffer[: len(part)])
        scores[np.isnan(part[:, 0])] = FAILED_SCORE
        scores[:, failed] = FAILED_SCORE
        yield start, scores


def all_pairs(
    probes: Array,
    gallery: Array,
    probe_person: NDArray[np.int64],
    gallery_person: NDArray[np.int64],
    same_image: bool = True,
) -> PairScores:
    """Score every probe against every gallery face.

    Args:
        probes: (N, D) unit embeddings.
        gallery: (M, D) unit embeddings.
        probe_person: (N,) whose face each is.
        gallery_person: (M,) likewise.
        same_image: Row i shows one photograph on both sides, so that comparison is left out.

    Raises:
        ScoreError: Lengths that differ where `same_image` is set.
    """
    if same_image and len(probes) != len(gallery):
        raise ScoreError(f"{len(probes)} probes and {len(gallery)} gallery faces cannot be the same photographs")
    order = np.argsort(gallery_person, kind="stable").astype(np.int32)
    sorted_person = gallery_person[order]
    first = np.searchsorted(sorted_person, probe_person, "left")
    last = np.searchsorted(sorted_person, probe_person, "right")
    genuine_rows = _genuine_rows(order, first, last, same_image)
    dtype = np.result_type(probes, gallery)
    impostor = np.empty(len(probes) * len(gallery) - int((last - first).sum()), dtype)
    genuine = np.empty(len(genuine_rows), dtype)
    ends = np.searchsorted(genuine_rows[:, 0], np.arange(len(probes) + 1))
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    filled = 0
    for start, scores in score_blocks(probes, gallery[order]):
        for row, line in enumerate(scores, start):
            low, high = int(first[row]), int(last[row])
            impostor[filled : filled + low] = line[:low]
            filled += low
            impostor[filled : filled + len(line) - high] = line[high:]
            filled += len(line) - high
            mates = slice(ends[row], ends[row + 1])
            genuine[mates] = line[position[genuine_rows[mates, 1]]]
    return PairScores(genuine, impostor, genuine_rows, order, first, last)


def _genuine_rows(
    order: NDArray[np.int32], first: NDArray[np.int64], last: NDArray[np.int64], same_image: bool
) -> NDArray[np.int32]:
    """Return (G, 2) probe and gallery row of every genuine comparison, by probe."""
    mates = last - first
    probe = np.repeat(np.arange(len(mates), dtype=np.int32), mates)
    within = np.arange(len(probe)) - np.repeat(np.cumsum(mates) - mates, mates)
    rows = np.column_stack([probe, order[np.repeat(first, mates) + within]])
    return rows[rows[:, 0] != rows[:, 1]] if same_image else rows


def listed_pairs(probes: Array, gallery: Array, pairs: NDArray[np.integer]) -> Array:
    """Return the scores of (P, 2) pairs of (probe row, gallery row)."""
    scores = np.einsum("pd,pd->p", probes[pairs[:, 0]], gallery[pairs[:, 1]])
    return np.where(np.isnan(scores), np.asarray(FAILED_SCORE, scores.dtype), scores)


def mean_templates(embeddings: Array, person: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """Return (people, unit mean embeddings): one template a person, of the faces that could be read.

    A person without any readable face gets a row of NaN, which is a failure to enrol.
    """
    people, position = np.unique(person, return_inverse=True)
    sums = np.zeros((len(people), embeddings.shape[1]), embeddings.dtype)
    readable = ~np.isnan(embeddings[:, 0])
    np.add.at(sums, position[readable], embeddings[readable])
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    templates: Array = np.divide(sums, length, out=np.full_like(sums, np.nan), where=length > 0)
    return people, templates
