"""1:1 verification figures, exact on any number of scores. NumPy only.

Scores are similarities: a comparison is accepted when score >= threshold. A threshold can only matter at a score that
was observed or above all of them, so those are the candidates: no grid, no interpolation, equal scores move together.
Sorting is the one cost; arrays that come sorted are used as they are, so sort once and ask for several figures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError

Array = NDArray[np.floating]
_CHUNK = 1 << 20
_ROUNDING = 1e-9  # so that 1e-3 of 1,000 comparisons is one comparison, whatever its binary fraction


class ScoreError(UserError):
    """Scores on which a figure cannot be measured."""


@dataclass(frozen=True)
class ErrorRates:
    """What happens at one threshold.

    Attributes:
        fmr: False match rate, impostors accepted over all impostors.
        fnmr: False non-match rate, genuine comparisons rejected over all genuine ones.
    """

    threshold: float
    fmr: float
    fnmr: float
    false_matches: int
    false_non_matches: int
    impostors: int
    genuines: int


@dataclass(frozen=True)
class TarAtFar:
    """True accept rate at the lowest threshold whose false accept rate is at most `target_far`.

    Attributes:
        tar: NaN where the target is below one impostor comparison in all of them: not measurable.
        far: The rate achieved, never above the target.
    """

    target_far: float
    tar: float
    far: float
    threshold: float
    measurable: bool


@dataclass(frozen=True)
class Eer:
    """Equal error rate: (FMR + FNMR) / 2 at the threshold where they differ least; the lower threshold of two."""

    value: float
    threshold: float
    fmr: float
    fnmr: float


@dataclass(frozen=True)
class Roc:
    """One point for each distinct score, thresholds falling, with the point (0, 0) above the highest score first."""

    thresholds: Array
    fmr: NDArray[np.float64]
    tar: NDArray[np.float64]


@dataclass(frozen=True)
class DetectionCost:
    """Expected cost of a decision, divided by the cost of the better blind decision (NIST SRE); 1 is useless."""

    threshold: float
    cost: float


def sort_scores(scores: Array, kind: str) -> Array:
    """Return the scores ascending, themselves if they are sorted.

    Args:
        scores: Any number of finite floats.
        kind: "genuine" or "impostor", for the message.

    Raises:
        ScoreError: None at all, or one is NaN or infinite.
    """
    values = np.asarray(scores).reshape(-1)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if len(values) == 0:
        raise ScoreError(f"no {kind} comparisons; verification needs people with two images, and two people")
    if not _is_sorted(values):
        values = np.sort(values)
    if not (np.isfinite(values[0]) and np.isfinite(values[-1])):
        raise ScoreError(f"a {kind} score is NaN or infinite; look for damaged images or weights")
    return values


def sort_both(genuine: Array, impostor: Array) -> tuple[Array, Array]:
    """Return both kinds of scores ascending and of one precision; see `sort_scores`."""
    genuine, impostor = sort_scores(genuine, "genuine"), sort_scores(impostor, "impostor")
    common = np.result_type(genuine, impostor)
    return genuine.astype(common, copy=False), impostor.astype(common, copy=False)


def count_below(ascending: Array, threshold: float) -> int:
    """Return how many of the sorted scores are below `threshold`, compared exactly.

    A float32 array is searched for the lowest float32 that is not below the threshold: NumPy would otherwise copy the
    array to float64 first.
    """
    bound = ascending.dtype.type(threshold)
    if float(bound) < threshold:
        bound = np.nextafter(bound, ascending.dtype.type(np.inf))
    return int(np.searchsorted(ascending, bound, "left"))


def error_rates(genuine: Array, impostor: Array, threshold: float) -> ErrorRates:
    """Return FMR and FNMR when scores >= `threshold` are accepted.

    Raises:
        ScoreError: See `sort_scores`; or the threshold is NaN.
    """
    genuine, impostor = sort_both(genuine, impostor)
    if np.isnan(threshold):
        raise ScoreError("the threshold is NaN; give a number between -1 and 1")
    rejected = count_below(genuine, threshold)
    accepted = len(impostor) - count_below(impostor, threshold)
    fmr, fnmr = accepted / len(impostor), rejected / len(genuine)
    return ErrorRates(float(threshold), fmr, fnmr, accepted, rejected, len(impostor), len(genuine))


def tar_at_far(genuine: Array, impostor: Array, far: float) -> TarAtFar:
    """Return the TAR at the lowest threshold whose FAR is at most `far`.

    Args:
        genuine: Scores of comparisons of one person with themselves.
        impostor: Scores of comparisons of two people.
        far: Target, in (0, 1].

    Raises:
        ScoreError: See `sort_scores`; or the target is outside (0, 1].
    """
    genuine, impostor = sort_both(genuine, impostor)
    if not 0 < far <= 1:
        raise ScoreError(f"FAR target {far}: outside (0, 1]; give a share of impostors such as 1e-3")
    allowed = int(np.floor(far * len(impostor) + _ROUNDING))
    threshold = _lowest_threshold(genuine, impostor, allowed)
    rates = error_rates(genuine, impostor, threshold)
    measurable = allowed >= 1
    return TarAtFar(far, 1 - rates.fnmr if measurable else float("nan"), rates.fmr, threshold, measurable)


def eer(genuine: Array, impostor: Array) -> Eer:
    """Return the equal error rate.

    FMR - FNMR falls with the threshold, strictly over the candidates, so the two candidates around its zero are
    found by bisection; no curve is built.

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    below = max(_last_with_fmr_above_fnmr(side, genuine, impostor) for side in (genuine, impostor))
    candidates = [error_rates(genuine, impostor, t) for t in (below, next_candidate(genuine, impostor, below))]
    best = min(candidates, key=lambda rates: abs(rates.fmr - rates.fnmr))
    return Eer((best.fmr + best.fnmr) / 2, best.threshold, best.fmr, best.fnmr)


def auc(genuine: Array, impostor: Array) -> float:
    """Return the area under the ROC: P(genuine > impostor) + P(equal) / 2 (Mann and Whitney, 1947).

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    few, many = (genuine, impostor) if len(genuine) <= len(impostor) else (impostor, genuine)
    below_twice = 0
    for start in range(0, len(few), _CHUNK):
        part = few[start : start + _CHUNK]
        below_twice += int(np.searchsorted(many, part, "left").sum()) + int(np.searchsorted(many, part, "right").sum())
    share = below_twice / 2 / len(few) / len(many)
    return share if few is genuine else 1 - share


def roc(genuine: Array, impostor: Array) -> Roc:
    """Return the whole ROC; FNMR is 1 - `tar`, so it is the DET curve as well.

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    scores = np.unique(np.concatenate([genuine, impostor]))[::-1]
    fmr = 1 - np.searchsorted(impostor, scores, "left") / len(impostor)
    tar = 1 - np.searchsorted(genuine, scores, "left") / len(genuine)
    above = np.nextafter(scores[0], scores.dtype.type(np.inf))
    return Roc(np.append(above, scores), np.append(0.0, fmr), np.append(0.0, tar))


def best_accuracy(genuine: Array, impostor: Array) -> float:
    """Return the highest (TAR + TNR) / 2 over all thresholds: optimistic, since it is chosen on the same scores.

    Both classes count the same, so it equals plain accuracy where there are as many genuine as impostor pairs.

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    best = 0.5
    for start in range(0, len(genuine), _CHUNK):
        candidates = genuine[start : start + _CHUNK]  # between two genuine scores a higher threshold costs nothing
        fnmr = np.searchsorted(genuine, candidates, "left") / len(genuine)
        fmr = 1 - np.searchsorted(impostor, candidates, "left") / len(impostor)
        best = max(best, float(1 - (fnmr + fmr).min() / 2))
    return best


def d_prime(genuine: Array, impostor: Array) -> float:
    """Return the distance of the means in units of the pooled SD (ddof 0); infinite if both SDs are 0.

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    spread = np.sqrt((genuine.var(dtype=np.float64) + impostor.var(dtype=np.float64)) / 2)
    distance = float(genuine.mean(dtype=np.float64) - impostor.mean(dtype=np.float64))
    return distance / float(spread) if spread > 0 else float(np.copysign(np.inf, distance)) if distance else 0.0


def detection_cost(
    genuine: Array,
    impostor: Array,
    prior: float = 0.01,
    miss_cost: float = 1.0,
    false_match_cost: float = 1.0,
    threshold: float | None = None,
) -> DetectionCost:
    """Return the normalised decision cost at a threshold, or its minimum over all thresholds.

    Args:
        genuine: Scores of comparisons of one person with themselves.
        impostor: Scores of comparisons of two people.
        prior: Share of genuine comparisons expected in use.
        miss_cost: Cost of rejecting a genuine comparison.
        false_match_cost: Cost of accepting an impostor.
        threshold: None for the minimum.

    Raises:
        ScoreError: See `sort_scores`.
    """
    genuine, impostor = sort_both(genuine, impostor)
    blind = min(prior * miss_cost, (1 - prior) * false_match_cost)
    above = np.nextafter(max(genuine[-1], impostor[-1]), genuine.dtype.type(np.inf))
    if threshold is not None:
        rates = error_rates(genuine, impostor, threshold)
        expected = prior * miss_cost * rates.fnmr + (1 - prior) * false_match_cost * rates.fmr
        return DetectionCost(threshold, expected / blind)
    candidates = np.append(genuine, above)
    fnmr = np.searchsorted(genuine, candidates, "left") / len(genuine)
    fmr = 1 - np.searchsorted(impostor, candidates, "left") / len(impostor)
    cost = (prior * miss_cost * fnmr + (1 - prior) * false_match_cost * fmr) / blind
    best = int(cost.argmin())
    return DetectionCost(float(candidates[best]), float(cost[best]))


def next_candidate(genuine: Array, impostor: Array, score: float) -> float:
    """Return the lowest score above `score`, or the number just above it if it is the highest. Arrays sorted."""
    above = np.nextafter(genuine.dtype.type(score), genuine.dtype.type(np.inf))
    found = np.concatenate([side[np.searchsorted(side, above, "left") :][:1] for side in (genuine, impostor)])
    return float(found.min() if len(found) else above)


def _lowest_threshold(genuine: Array, impostor: Array, allowed: int) -> float:
    """Return the lowest candidate that accepts at most `allowed` impostors."""
    if allowed >= len(impostor):
        return float(min(genuine[0], impostor[0]))
    return next_candidate(genuine, impostor, impostor[len(impostor) - 1 - allowed])


def _last_with_fmr_above_fnmr(side: Array, genuine: Array, impostor: Array) -> float:
    low, high = 0, len(side)  # the answer's position lies in [low - 1, high - 1]
    while low < high:
        middle = (low + high) // 2
        rates = _rates(genuine, impostor, side[middle])
        low, high = (middle + 1, high) if rates[0] >= rates[1] else (low, middle)
    return float(side[max(low - 1, 0)]) if low else -np.inf


def _rates(genuine: Array, impostor: Array, threshold: float) -> tuple[float, float]:
    """Return (FMR, FNMR) of sorted scores, unchecked."""
    accepted = len(impostor) - count_below(impostor, threshold)
    return accepted / len(impostor), count_below(genuine, threshold) / len(genuine)


def _is_sorted(values: Array) -> bool:
    """Tell in chunks, so that unsorted scores are found out early and no second array is made."""
    starts = range(0, len(values), _CHUNK)
    return all(bool((part[:-1] <= part[1:]).all()) for part in (values[at : at + _CHUNK + 1] for at in starts))
