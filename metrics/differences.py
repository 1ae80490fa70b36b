"""Do two systems differ on the same comparisons? Paired bootstrap, and McNemar's test of decisions. NumPy only."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.bootstrap import interval


def paired_difference(
    value: float | None, reference: float | None, replicas: NDArray[np.float64], others: NDArray[np.float64]
) -> dict[str, Any] | None:
    """Return a difference with its interval and p-value; None where one of the two is not measurable.

    Args:
        value: Figure of the system.
        reference: Figure of the other.
        replicas: (R,) replicates of the first, from draws that both share.
        others: (R,) replicates of the second.
    """
    if value is None or reference is None:
        return None
    gaps = replicas - others
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) == 0:
        return None
    # The share of replicates on the other side of zero, twice; never below what so many replicates can tell.
    tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (len(gaps) + 1))
    return {"difference": value - reference, "interval": interval(gaps), "p_value": p_value, "test": "paired bootstrap"}


def mcnemar(correct: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, Any]:
    """Test whether two systems decide the same pairs equally well (McNemar, 1947; exact binomial, two-sided).

    Args:
        correct: (N,) whether the first system decided each pair correctly.
        other: (N,) the same of the second.
    """
    only_first = int((correct & ~other).sum())
    only_second = int((~correct & other).sum())
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    logs = [_log_choose(discordant, k) - discordant * math.log(2) for k in range(fewer + 1)]
    p_value = min(1.0, 2 * sum(map(math.exp, logs)))
    return {"only_system": only_first, "only_reference": only_second, "p_value": p_value, "test": "McNemar, exact"}


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
