import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score, roc_curve

from metrics.verification import (
    ScoreError,
    auc,
    best_accuracy,
    d_prime,
    detection_cost,
    eer,
    error_rates,
    roc,
    tar_at_far,
)

# Few distinct values, so that ties within and between the classes are the rule.
tied_scores = arrays(np.float64, st.integers(1, 40), elements=st.integers(-8, 8).map(lambda n: n / 8))


def drawn(seed, genuines=400, impostors=3000, digits=2, dtype=np.float64):
    draw = np.random.default_rng(seed)
    return (
        draw.normal(0.6, 0.2, genuines).round(digits).astype(dtype),
        draw.normal(0.1, 0.2, impostors).round(digits).astype(dtype),
    )


def candidates(genuine, impostor):
    scores = np.unique(np.concatenate([genuine, impostor]))
    return np.append(scores, np.nextafter(scores[-1], scores.dtype.type(np.inf)))


def naive_rates(genuine, impostor, threshold):
    return sum(s >= threshold for s in impostor) / len(impostor), sum(s < threshold for s in genuine) / len(genuine)


def naive_tar_at_far(genuine, impostor, far):
    for threshold in candidates(genuine, impostor):
        fmr, fnmr = naive_rates(genuine, impostor, threshold)
        if fmr <= far + 1e-12:
            return 1 - fnmr, fmr
    raise RuntimeError


def sklearn_roc(genuine, impostor):
    truth = np.append(np.ones(len(genuine)), np.zeros(len(impostor)))
    return roc_curve(truth, np.append(genuine, impostor), drop_intermediate=False)


def test_hand_computed_figures_of_eight_scores():
    genuine, impostor = np.array([0.9, 0.8, 0.5, 0.3]), np.array([0.6, 0.5, 0.2, 0.1])
    rates = error_rates(genuine, impostor, 0.5)
    assert (rates.fmr, rates.fnmr, rates.false_matches, rates.false_non_matches) == (0.5, 0.25, 2, 1)
    assert tar_at_far(genuine, impostor, 0.25).tar == 0.5
    assert tar_at_far(genuine, impostor, 0.25).threshold == 0.6
    assert eer(genuine, impostor).value == 0.375
    assert auc(genuine, impostor) == (4 + 4 + 2.5 + 2) / 16
    assert best_accuracy(genuine, impostor) == 0.75


@pytest.mark.parametrize("far", [0.5, 0.1, 0.01, 1e-3, 1 / 3000])
def test_tar_at_far_equals_a_naive_loop_and_scikit_learn(far):
    genuine, impostor = drawn(1)
    found = tar_at_far(genuine, impostor, far)
    fpr, tpr, _ = sklearn_roc(genuine, impostor)
    assert (found.tar, found.far) == pytest.approx(naive_tar_at_far(genuine, impostor, far))
    assert found.tar == pytest.approx(tpr[fpr <= far + 1e-12].max())
    assert naive_rates(genuine, impostor, found.threshold) == pytest.approx((found.far, 1 - found.tar))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curve_and_area_equal_scikit_learns_on_tied_scores(dtype):
    genuine, impostor = drawn(2, dtype=dtype)
    fpr, tpr, thresholds = sklearn_roc(genuine, impostor)
    curve = roc(genuine, impostor)
    np.testing.assert_allclose(curve.fmr, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.tar, tpr, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds[1:], thresholds[1:])
    truth = np.append(np.ones(len(genuine)), np.zeros(len(impostor)))
    assert auc(genuine, impostor) == pytest.approx(roc_auc_score(truth, np.append(genuine, impostor)), abs=1e-12)


@given(tied_scores, tied_scores)
@settings(deadline=None, max_examples=80)
def test_eer_is_the_mean_at_the_least_difference(genuine, impostor):
    rates = [naive_rates(genuine, impostor, t) for t in candidates(genuine, impostor)]
    least = min(abs(fmr - fnmr) for fmr, fnmr in rates)
    found = eer(genuine, impostor)
    assert abs(found.fmr - found.fnmr) == pytest.approx(least)
    assert found.value == pytest.approx((found.fmr + found.fnmr) / 2)
    assert naive_rates(genuine, impostor, found.threshold) == pytest.approx((found.fmr, found.fnmr))


@given(tied_scores, tied_scores)
@settings(deadline=None, max_examples=50)
def test_best_accuracy_and_least_cost_equal_a_loop_over_all_candidates(genuine, impostor):
    rates = [naive_rates(genuine, impostor, t) for t in candidates(genuine, impostor)]
    assert best_accuracy(genuine, impostor) == pytest.approx(max(1 - (fmr + fnmr) / 2 for fmr, fnmr in rates))
    cost = min((0.01 * fnmr + 0.99 * fmr) / 0.01 for fmr, fnmr in rates)
    assert detection_cost(genuine, impostor).cost == pytest.approx(cost)


@given(tied_scores, tied_scores)
@settings(deadline=None, max_examples=50)
def test_figures_do_not_change_under_a_monotone_map_or_another_order(genuine, impostor):
    before = [auc(genuine, impostor), eer(genuine, impostor).value, best_accuracy(genuine, impostor)]
    mapped = [np.exp(3 * side[::-1]) for side in (genuine, impostor)]
    assert [auc(*mapped), eer(*mapped).value, best_accuracy(*mapped)] == before
    for far in (0.05, 0.3, 1.0):
        tars = [tar_at_far(genuine, impostor, far).tar, tar_at_far(*mapped, far).tar]
        np.testing.assert_equal(tars[0], tars[1])


@given(tied_scores, tied_scores)
@settings(deadline=None, max_examples=50)
def test_tar_never_falls_when_the_far_allowed_rises(genuine, impostor):
    found = [tar_at_far(genuine, impostor, far) for far in (0.1, 0.2, 0.5, 1.0)]
    assert all(f.far <= f.target_far + 1e-12 for f in found)
    tars = [f.tar for f in found if f.measurable]
    assert tars == sorted(tars)


def test_a_far_below_one_impostor_is_not_measurable():
    genuine, impostor = drawn(3, impostors=999)
    found = tar_at_far(genuine, impostor, 1e-3)
    assert not found.measurable and np.isnan(found.tar)
    assert found.far == 0
    assert tar_at_far(genuine, np.append(impostor, 0.0), 1e-3).measurable


def test_the_nearest_far_overstates_and_ours_does_not():
    """Peers take the ROC point whose FAR is nearest to the target, which may lie above it."""
    draw = np.random.default_rng(0)
    impostor = np.append(draw.uniform(-0.2, 0.3, 5997), [0.62, 0.65, 0.69])
    genuine = draw.normal(0.6, 0.1, 6000)
    fpr, tpr, _ = sklearn_roc(genuine, impostor)

    def theirs(target):
        nearest = np.abs(fpr - target).argmin()
        return tpr[np.flatnonzero(fpr == fpr[nearest])[-1]], fpr[nearest]

    ours = tar_at_far(genuine, impostor, 2.6e-4)  # 1.56 of 6,000: one impostor may pass, the nearest point has two
    assert ours.far <= 2.6e-4 < theirs(2.6e-4)[1]
    assert theirs(2.6e-4)[0] == pytest.approx(0.433, abs=0.03) and ours.tar == pytest.approx(0.32, abs=0.03)
    assert not tar_at_far(genuine, impostor, 1e-4).measurable and theirs(1e-4)[0] > 0.2


def test_a_far_of_zero_is_the_lowest_threshold_above_every_impostor_and_no_figure_below_one_in_all():
    """A peer's FMR0 takes the first point of a thinned curve with FMR 0: a higher threshold, and fewer people in."""
    genuine, impostor = np.array([0.3, 0.5, 0.6, 0.7, 0.9]), np.array([0.1, 0.2, 0.4, 0.45])
    grid = np.linspace(0, 1, 4)
    theirs = next(float((genuine >= t).mean()) for t in grid if (impostor >= t).sum() == 0)
    ours = tar_at_far(genuine, impostor, 0.2)
    assert theirs == 0.4
    assert ours.far == 0 and ours.threshold == 0.5 and not ours.measurable
    assert error_rates(genuine, impostor, ours.threshold).fnmr == pytest.approx(0.2)


def test_the_bracketing_threshold_is_not_where_the_errors_differ_least():
    """A peer takes the first threshold at which FNMR reaches FMR, and reports one of the two errors there."""
    genuine, impostor = np.array([0.35, 0.5, 0.6, 0.7]), np.array([0.1, 0.2, 0.3, 0.4, 0.55])
    candidates = np.unique(np.concatenate([genuine, impostor]))
    rates = [error_rates(genuine, impostor, t) for t in candidates]
    theirs = next(r for r in rates if r.fnmr >= r.fmr).fnmr
    gaps = [abs(r.fmr - r.fnmr) for r in rates]
    best = rates[int(np.argmin(gaps))]
    assert theirs == 0.25
    assert eer(genuine, impostor).value == pytest.approx((best.fmr + best.fnmr) / 2) == pytest.approx(0.225)


def test_scores_equal_to_the_threshold_are_accepted_in_both_classes():
    """A peer counts `score > t` for impostors and `score < t` for genuine: a tie is right in both classes."""
    rates = error_rates(np.array([0.5, 0.5, 0.9]), np.array([0.5, 0.1]), 0.5)
    assert (rates.fmr, rates.fnmr) == (0.5, 0.0)


def test_a_float32_score_is_compared_with_the_threshold_as_given():
    score = np.array([0.35], np.float32)  # 0.3499999940...
    assert error_rates(score, score, 0.35).fnmr == 1.0
    assert error_rates(score, score, float(score[0])).fnmr == 0.0


def test_all_equal_scores_decide_nothing():
    same = np.full(50, 0.7)
    assert eer(same, same).value == 0.5
    assert auc(same, same) == 0.5
    assert best_accuracy(same, same) == 0.5
    assert tar_at_far(same, same, 0.1).tar == 0.0
    assert d_prime(same, same) == 0.0


def test_d_prime_is_the_distance_in_pooled_deviations():
    genuine, impostor = drawn(4)
    expected = (genuine.mean() - impostor.mean()) / np.sqrt((genuine.var() + impostor.var()) / 2)
    assert d_prime(genuine, impostor) == pytest.approx(expected)


@pytest.mark.parametrize("figure", [eer, auc, roc, best_accuracy, d_prime])
@pytest.mark.parametrize(
    ("genuine", "impostor", "message"),
    [
        ([], [0.1], "no genuine comparisons"),
        ([0.1], [], "no impostor comparisons"),
        ([0.1, np.nan, 0.5], [0.1], "genuine score is NaN"),
        ([0.1], [0.2, -np.inf], "impostor score is NaN or infinite"),
    ],
)
def test_scores_that_cannot_be_measured_are_refused(figure, genuine, impostor, message):
    with pytest.raises(ScoreError, match=message):
        figure(np.array(genuine, np.float64), np.array(impostor, np.float64))


@pytest.mark.parametrize("far", [0, -0.1, 1.5, float("nan")])
def test_a_far_outside_its_range_is_refused(far):
    with pytest.raises(ScoreError, match="FAR target"):
        tar_at_far(np.array([0.5]), np.array([0.1]), far)
