"""Error rates by any attribute column of the index: the fairness table."""

import numpy as np
from numpy.typing import NDArray

from metrics.bootstrap import Weights, rate_interval
from metrics.comparisons import PairScores
from metrics.resampling import resample
from metrics.verification import error_rates
from pipeline.evaluation.measures import Json

MOST_VALUES = 12
"""An attribute with more values than this is a name or a number, not a group."""


def group_figures(
    scores: PairScores,
    person: NDArray[np.int64],
    attributes: dict[str, list[str]],
    threshold: float,
    weights: Weights | None,
    seed: int,
) -> list[Json]:
    """Return FMR and FNMR at a threshold for each value of each attribute, with intervals.

    A genuine comparison belongs to its probe's group; an impostor one counts where both faces are of the group, since
    those are the ones that are mistaken for each other.
    """
    usable = {name: np.array(values) for name, values in attributes.items() if 1 < len(set(values)) <= MOST_VALUES}
    if not usable:
        return []
    return [
        {"attribute": name, "group": str(value), **_figures(scores, person, values == value, threshold, weights, seed)}
        for name, values in usable.items()
        for value in np.unique(values)
    ]


def _figures(
    scores: PairScores,
    person: NDArray[np.int64],
    member: NDArray[np.bool_],
    threshold: float,
    weights: Weights | None,
    seed: int,
) -> Json:
    genuine = scores.genuine[member[scores.genuine_rows[:, 0]]]
    impostor = scores.impostor[scores.impostors_among(member)]
    counts: Json = {"images": int(member.sum()), "people": len(np.unique(person[member]))}
    if len(genuine) == 0 or len(impostor) == 0:
        return {**counts, "fmr": None, "fnmr": None, "fmr_interval": None, "fnmr_interval": None}
    rates = error_rates(genuine, impostor, threshold)
    counts |= {"fmr": rates.fmr, "fnmr": rates.fnmr, "genuines": rates.genuines, "impostors": rates.impostors}
    if weights is None:
        return {**counts, "fmr_interval": None, "fnmr_interval": None}
    replicas = resample(scores, person, weights, seed, member)
    fmr, fnmr = replicas.rates(threshold)
    return {
        **counts,
        "interval_people": replicas.people,
        "fmr_interval": rate_interval(rates.fmr, fmr, replicas.people),
        "fnmr_interval": rate_interval(rates.fnmr, fnmr, replicas.mated),
    }
