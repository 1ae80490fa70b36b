"""Which comparisons the bootstrap takes: all, or those of people drawn once where there are too many. NumPy only."""

import numpy as np
from numpy.typing import NDArray

from metrics.bootstrap import IdentityBootstrap, Weights, draw_people
from metrics.comparisons import PairScores

MOST_COMPARED = 4_000_000
"""Impostor comparisons that the bootstrap takes; beyond it people are drawn."""


def resample(
    scores: PairScores,
    person: NDArray[np.int64],
    weights: Weights,
    seed: int,
    member: NDArray[np.bool_] | None = None,
) -> IdentityBootstrap:
    """Return the replicates of all comparisons, or of those of a group.

    Args:
        scores: Every face against every other, the same rows on both sides.
        person: (N,) whose face each row is.
        weights: (R, P) from `draw_people`, used as long as there are not too many comparisons.
        seed: Of the draws that they are from.
        member: (N,) the group: probes of genuine comparisons, both faces of impostor ones; None: all.
    """
    inside = np.ones(len(person), bool) if member is None else member
    images = np.bincount(person[inside])
    impostors = int(images.sum() ** 2 - (images**2).sum())
    if impostors > MOST_COMPARED:
        people = np.unique(person[inside])
        kept = max(2, int(len(people) * (MOST_COMPARED / impostors) ** 0.5))
        chosen = np.sort(np.random.default_rng(seed).permutation(people)[:kept])
        inside = inside & np.isin(person, chosen)
        person = np.searchsorted(chosen, person)
        weights = draw_people(kept, len(weights), seed)
    genuine = inside[scores.genuine_rows[:, 0]]
    positions = None if inside.all() else scores.impostors_among(inside)
    return IdentityBootstrap(
        scores.genuine[genuine],
        person[scores.genuine_rows[genuine, 0]],
        scores.impostor if positions is None else scores.impostor[positions],
        person[scores.impostor_rows(positions)],
        weights,
    )
