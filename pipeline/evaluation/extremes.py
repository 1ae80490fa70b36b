"""The comparisons that a person wants to look at, and score counts that a page can slide a threshold over."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import PairScores, readable
from metrics.verification import Array

STEP = 0.001


@dataclass(frozen=True)
class Extremes:
    """The lowest genuine and the highest impostor scores, worst first.

    Attributes:
        genuine_rows: (E, 2) probe and gallery row.
        impostor_rows: (E, 2) likewise.
    """

    genuine: Array
    genuine_rows: NDArray[np.int32]
    impostor: Array
    impostor_rows: NDArray[np.int32]


def find_extremes(scores: PairScores, count: int, rows: NDArray[np.int64]) -> Extremes:
    """Return the `count` worst comparisons of either kind; `rows` are those of the split that were compared."""
    low = _lowest(scores.genuine, count)
    high = _lowest(-scores.impostor, count)
    genuine, impostor = rows[scores.genuine_rows[low]], rows[scores.impostor_rows(high)]
    return Extremes(scores.genuine[low], genuine.astype(np.int32), scores.impostor[high], impostor.astype(np.int32))


def counts_by_threshold(genuine: Array, impostor: Array) -> dict[str, Any]:
    """Count sorted scores in steps of 0.001, as text of numbers, so that sums from the right are exact at every step.

    Returns:
        `first_step`: k of the first count, which holds scores in [k, k + 1) / 1000; `genuine`, `impostor`: counts.
        Failed comparisons are below every step and in no count.
    """
    steps = np.arange(-1000, 1002)
    counts, failed = {}, {}
    for kind, values in (("genuine", genuine), ("impostor", impostor)):
        found = np.searchsorted(values, _lowest_float_at_least(steps / 1000, values.dtype.type), "left")
        failed[f"{kind}_failed"] = len(values) - len(readable(values))
        counts[kind] = np.diff(np.append(found, len(values)))
    used = np.flatnonzero(counts["genuine"] + counts["impostor"])
    inside = slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)
    text = {kind: " ".join(map(str, values[inside].tolist())) for kind, values in counts.items()}
    return {"first_step": int(steps[inside.start]) if len(used) else 0, "step": STEP, **text, **failed}


def _lowest(values: Array, count: int) -> NDArray[np.int64]:
    if count < len(values):
        found = np.argpartition(values, count)[:count]
        return found[np.argsort(values[found], kind="stable")]
    return np.argsort(values, kind="stable")


def _lowest_float_at_least(thresholds: NDArray[np.float64], kind: type[np.floating[Any]]) -> Array:
    rounded = thresholds.astype(kind)
    return np.where(rounded.astype(np.float64) < thresholds, np.nextafter(rounded, kind(np.inf)), rounded)
