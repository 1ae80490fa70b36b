"""1:N identification figures: CMC and open-set error rates. NumPy only.

A search compares one probe with the gallery's templates, one template a person. Ties are pessimistic: a stranger
with the mate's score stands before the mate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.verification import Array, ScoreError, count_below


@dataclass(frozen=True)
class Searches:
    """What a figure needs of searches in one gallery.

    Attributes:
        mate: (M,) score of each mated search's own template.
        rank: (M,) 1 + number of other templates that score at least as much as the mate.
        top: (U,) highest score of each non-mated search.
        gallery: Number of templates.
    """

    mate: Array
    rank: NDArray[np.int64]
    top: Array
    gallery: int


@dataclass(frozen=True)
class OpenSetRates:
    """At one threshold: false positive identification rate, and false negative one within the first `rank`."""

    threshold: float
    rank: int
    fpir: float
    fnir: float
    mated: int
    non_mated: int


def searches(scores: Array, probe: NDArray[np.integer], gallery: NDArray[np.integer]) -> Searches:
    """Reduce a matrix of scores.

    Args:
        scores: (P, G) similarity of each probe and each template.
        probe: (P,) person of each probe; one who is not in the gallery makes a non-mated search.
        gallery: (G,) person of each template, all different.

    Raises:
        ScoreError: A person with two templates, or a score that is not finite.
    """
    if len(np.unique(gallery)) != len(gallery):
        raise ScoreError("a person has two templates in the gallery; average them into one first")
    if not np.isfinite(scores).all():
        raise ScoreError("a search's score is NaN or infinite; look for damaged images or weights")
    mates = probe[:, None] == gallery[None, :]
    mated = mates.any(1)
    mate = scores[mated][mates[mated]]
    ahead = (scores[mated] >= mate[:, None]).sum(1)  # the mate counts itself, which makes the best rank 1
    top = scores[~mated].max(1) if len(gallery) else np.empty(0, scores.dtype)
    return Searches(mate, ahead.astype(np.int64), top, len(gallery))


def cmc(ranks: NDArray[np.integer], deepest: int) -> NDArray[np.float64]:
    """Return the share of mated searches whose mate is within the first 1, 2, ... `deepest` ranks.

    Raises:
        ScoreError: There are no mated searches.
    """
    if len(ranks) == 0:
        raise ScoreError("no mated searches; identification needs people with an image in the gallery and another")
    counts = np.bincount(np.minimum(ranks, deepest + 1), minlength=deepest + 2)
    shares: NDArray[np.float64] = np.cumsum(counts[1 : deepest + 1]) / len(ranks)
    return shares


def open_set(found: Searches, threshold: float, rank: int = 1) -> OpenSetRates:
    """Return FPIR (non-mated searches that find somebody) and FNIR (mates outside `rank` or below `threshold`).

    Raises:
        ScoreError: No mated or no non-mated searches.
    """
    if len(found.mate) == 0 or len(found.top) == 0:
        raise ScoreError(f"{len(found.mate)} mated and {len(found.top)} non-mated searches; open-set needs both")
    fpir = float((found.top >= threshold).mean())
    missed = (found.mate < threshold) | (found.rank > rank)
    return OpenSetRates(threshold, rank, fpir, float(missed.mean()), len(found.mate), len(found.top))


def fnir_at_fpir(found: Searches, target: float, rank: int = 1) -> OpenSetRates | None:
    """Return the rates at the lowest threshold whose FPIR is at most `target`; None where it is not measurable.

    Raises:
        ScoreError: See `open_set`.
    """
    allowed = int(np.floor(target * len(found.top) + 1e-9))
    if allowed < 1:
        return None
    top = np.sort(found.top)
    scores = np.sort(np.concatenate([found.top, found.mate]))
    if allowed >= len(top):
        return open_set(found, float(scores[0]), rank)
    highest_refused = float(top[len(top) - 1 - allowed])
    above = np.nextafter(top.dtype.type(highest_refused), top.dtype.type(np.inf))
    higher = scores[count_below(scores, float(above)) :]
    return open_set(found, float(higher[0] if len(higher) else above), rank)
