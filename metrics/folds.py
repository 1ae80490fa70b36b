"""The accuracy of LFW's protocol: each fold is judged by the threshold of other folds. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.verification import Array, ScoreError


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy over folds.

    Attributes:
        mean: Mean of the folds' accuracies.
        sd: Their standard deviation (ddof 0).
        sem: `sd` over the square root of the number of folds, as LFW's tables give it.
        folds: Accuracy of each fold, in the order of the sorted fold numbers.
        thresholds: The threshold that each was judged by.
        correct: (N,) bool, whether each pair was decided correctly, for a test against another system.
    """

    mean: float
    sd: float
    sem: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    correct: NDArray[np.bool_]


def fold_accuracy(scores: Array, same: NDArray[np.bool_], folds: NDArray[np.integer]) -> FoldAccuracy:
    """Return the accuracy when each fold's threshold is chosen on the other folds.

    Args:
        scores: (N,) similarities.
        same: (N,) whether a pair shows one person.
        folds: (N,) fold of each pair; at least two different ones.

    Raises:
        ScoreError: One fold only, or a score that is not finite.
    """
    scores, same, folds = np.asarray(scores), np.asarray(same, bool), np.asarray(folds)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ScoreError(f"{len(numbers)} fold of pairs; accuracy over folds needs at least two")
    if not np.isfinite(scores).all():
        raise ScoreError("a pair's score is NaN or infinite; look for damaged images or weights")
    thresholds = [best_threshold(scores[folds != number], same[folds != number]) for number in numbers]
    return judge(scores, same, folds, thresholds)


def tenths(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Share pairs without folds out into ten parts, which can judge each other as folds do.

    Args:
        same: (N,) whether a pair shows one person.

    Returns:
        (N,) part of each pair, 0 to 9; both kinds are shared out in turn. Fewer parts where there are fewer pairs.
    """
    parts = np.zeros(len(same), np.int64)
    for kind in (same, ~same):
        parts[kind] = np.arange(np.count_nonzero(kind)) % 10
    return parts


def judge(
    scores: Array, same: NDArray[np.bool_], folds: NDArray[np.integer], thresholds: Sequence[float]
) -> FoldAccuracy:
    """Return the accuracy at thresholds that were chosen elsewhere.

    Args:
        scores: (N,) similarities.
        same: (N,) whether a pair shows one person.
        folds: (N,) fold of each pair.
        thresholds: One for each fold, in the order of the sorted fold numbers.
    """
    numbers, fold = np.unique(folds, return_inverse=True)
    correct = (scores >= np.array(thresholds)[fold]) == same
    accuracies = np.array([correct[folds == number].mean() for number in numbers])
    sd = float(accuracies.std())
    return FoldAccuracy(
        float(accuracies.mean()), sd, sd / len(numbers) ** 0.5, tuple(accuracies.tolist()), tuple(thresholds), correct
    )


def best_threshold(scores: Array, same: NDArray[np.bool_]) -> float:
    """Return the threshold with the most correct decisions: the middle one of the best midpoints between scores.

    Below the lowest and above the highest score there is a candidate as well.
    """
    distinct, position = np.unique(np.asarray(scores, np.float64), return_inverse=True)
    genuine = np.bincount(position[same], minlength=len(distinct))
    impostor = np.bincount(position[~same], minlength=len(distinct))
    rejected_impostors = np.append(0, np.cumsum(impostor))
    accepted_genuines = np.append(genuine.sum() - np.append(0, np.cumsum(genuine))[:-1], 0)
    correct = rejected_impostors + accepted_genuines
    midpoints = np.concatenate([distinct[:1] - 1, (distinct[1:] + distinct[:-1]) / 2, distinct[-1:] + 1])
    best = np.flatnonzero(correct == correct.max())
    return float(midpoints[best[len(best) // 2]])
