import numpy as np
import pytest

from metrics.folds import best_threshold, fold_accuracy, tenths
from metrics.verification import ScoreError


def naive_fold_accuracy(scores, same, folds):
    accuracies = []
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        distinct = np.unique(scores[train])
        candidates = np.concatenate([[distinct[0] - 1], (distinct[1:] + distinct[:-1]) / 2, [distinct[-1] + 1]])
        hits = [((scores[train] >= t) == same[train]).sum() for t in candidates]
        best = [t for t, hit in zip(candidates, hits, strict=True) if hit == max(hits)]
        accuracies.append(((scores[test] >= best[len(best) // 2]) == same[test]).mean())
    return accuracies


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_fold_accuracy_equals_a_naive_loop_on_tied_scores(digits):
    draw = np.random.default_rng(digits)
    same, folds = draw.random(600) < 0.5, draw.permutation(np.repeat(np.arange(10), 60))
    scores = (draw.normal(0, 0.2, 600) + 0.4 * same).round(digits)
    found, expected = fold_accuracy(scores, same, folds), naive_fold_accuracy(scores, same, folds)
    assert found.folds == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.sd == pytest.approx(np.std(expected, ddof=0))
    assert found.sem == pytest.approx(np.std(expected, ddof=0) / 10**0.5)
    assert found.correct.mean() == pytest.approx(found.mean)


def test_a_fold_is_not_judged_by_its_own_threshold():
    scores, same = np.array([0.9, 0.1, 0.4, 0.2]), np.array([True, False, True, False])
    found = fold_accuracy(scores, same, np.array([0, 0, 1, 1]))
    assert found.thresholds == pytest.approx((0.3, 0.5))
    assert found.folds == (1.0, 0.5)  # 0.4 is refused by the other fold's 0.5


def test_pairs_without_folds_are_shared_out_evenly_by_kind():
    same = np.array([True] * 23 + [False] * 40)
    parts = tenths(same)
    assert np.bincount(parts[~same]).tolist() == [4] * 10
    assert np.bincount(parts[same]).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert np.unique(tenths(np.array([True, False]))).tolist() == [0]


def test_the_best_threshold_may_lie_outside_all_scores():
    assert best_threshold(np.array([0.3, 0.4]), np.array([True, True])) < 0.3
    assert best_threshold(np.array([0.3, 0.4]), np.array([False, False])) > 0.4


def test_one_fold_and_scores_that_are_not_finite_are_refused():
    with pytest.raises(ScoreError, match="1 fold"):
        fold_accuracy(np.array([0.1, 0.2]), np.array([True, False]), np.array([3, 3]))
    with pytest.raises(ScoreError, match="NaN"):
        fold_accuracy(np.array([0.1, np.nan]), np.array([True, False]), np.array([0, 1]))
