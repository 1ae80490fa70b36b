"""Searches in a gallery of images, where a person may have several: ranks of the mates, mean average precision.

Every image of the gallery is an answer of its own, as in TinyFace's protocol; `identification` searches templates, one
a person. Ties are pessimistic: a stranger with a mate's score stands before the mate. NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import score_blocks
from metrics.verification import Array, ScoreError


@dataclass(frozen=True)
class Retrieval:
    """What searches in a gallery of images gave.

    Attributes:
        first: (P,) rank of the best mate, from 1.
        precision: (P,) average precision over all mates of the probe.
    """

    first: NDArray[np.int64]
    precision: NDArray[np.float64]


def retrieve(
    probes: Array, gallery: Array, probe_person: NDArray[np.integer], gallery_person: NDArray[np.integer]
) -> Retrieval:
    """Search every probe among all images of the gallery.

    Args:
        probes: (P, D) unit embeddings; rows of NaN are failures, which come last.
        gallery: (G, D) unit embeddings.
        probe_person: (P,) whose face each is.
        gallery_person: (G,) likewise; distractors have the number of nobody who searches.

    Raises:
        ScoreError: A probe without a mate in the gallery.
    """
    order = np.argsort(gallery_person, kind="stable")
    people = gallery_person[order]
    first, last = np.searchsorted(people, probe_person, "left"), np.searchsorted(people, probe_person, "right")
    if (first == last).any():
        raise ScoreError(f"{np.count_nonzero(first == last)} probes have no image in the gallery; leave them out")
    found = Retrieval(np.empty(len(probes), np.int64), np.empty(len(probes)))
    for start, scores in score_blocks(probes, gallery[order]):
        for row, line in enumerate(scores, start):
            ranks = mate_ranks(line, slice(int(first[row]), int(last[row])))
            found.first[row], found.precision[row] = ranks[0], average_precision(ranks)
    return found


def mate_ranks(scores: Array, mates: slice) -> NDArray[np.int64]:
    """Return the (M,) ranks of the mates, ascending, in a line of scores whose mates stand together."""
    falling = -np.sort(-scores[mates])
    ahead = np.array([np.count_nonzero(scores >= mate) for mate in falling])
    level = np.array([np.count_nonzero(falling >= mate) for mate in falling])  # mates do not stand before themselves
    return np.asarray(ahead - level + np.arange(1, len(falling) + 1), np.int64)


def average_precision(ranks: NDArray[np.integer]) -> float:
    """Return the area under precision over recall, by trapezoids, from the ranks of all mates in rising order.

    The i-th mate adds the mean of the precision before and at it: (i - 1) / (rank - 1), which is 1 at rank 1, and
    i / rank. It is what the evaluation that TinyFace ships computes, after that of the Oxford buildings (Philbin et
    al., CVPR 2007); means of i / rank alone are a little different.
    """
    count = np.arange(1, len(ranks) + 1)
    before = np.where(ranks > 1, (count - 1) / np.maximum(ranks - 1, 1), 1.0)
    return float(np.mean((before + count / ranks) / 2))
