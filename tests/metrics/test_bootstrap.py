import numpy as np
import pytest

from metrics.bootstrap import IdentityBootstrap, accuracy_replicates, draw_people, interval, rate_interval


def simulated(seed, people=20, images=4, digits=2, person_sd=0.1):
    """Scores of all image pairs, where some people are harder than others; a tie at every second comparison."""
    draw = np.random.default_rng(seed)
    hardness = draw.normal(0, person_sd, people)
    person = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(person), 1)
    a, b = person[first], person[second]
    scores = (
        np.where(a == b, 0.5, 0.1)
        + draw.normal(0, 0.15, len(a))
        + np.where(a == b, -1, 1) * (hardness[a] + hardness[b]) / 2
    )
    scores = scores.round(digits).astype(np.float32)
    same = a == b
    return scores[same], a[same], scores[~same], np.column_stack([a, b])[~same]


def naive_replicate(w, genuine, person, impostor, people):
    """Return the weights of genuine and impostor scores accepted at each candidate, from the lowest up."""
    wg, wi = w[person].astype(float), (w[people[:, 0]] * w[people[:, 1]]).astype(float)
    scores = np.unique(np.concatenate([genuine, impostor]))
    candidates = np.append(scores, np.inf)
    tar = np.array([wg[genuine >= t].sum() for t in candidates]) / wg.sum()
    fmr = np.array([wi[impostor >= t].sum() for t in candidates]) / wi.sum()
    return tar, fmr, wi.sum()


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_every_replicate_equals_a_naive_weighted_loop(digits):
    data = simulated(digits, digits=digits)
    weights = draw_people(20, 30, seed=5)
    found = IdentityBootstrap(*data, weights)
    eers, fmrs_fnmrs = found.eer(), found.rates(0.3)
    for far in (0.3, 0.05, 0.01, 1e-3):
        tars = found.tar_at_far(far)
        for r, w in enumerate(weights):
            tar, fmr, total = naive_replicate(w, *data)
            expected = tar[fmr <= far + 1e-9].max() if np.floor(far * total + 1e-6) >= 1 else np.nan
            np.testing.assert_allclose(tars[r], expected, atol=1e-6)
    for r, w in enumerate(weights):
        tar, fmr, _ = naive_replicate(w, *data)
        gap = np.abs(fmr + tar - 1)
        nearest = np.flatnonzero(gap <= gap.min() + 1e-6)
        assert np.abs(eers[r] - ((fmr + 1 - tar) / 2)[nearest]).min() < 1e-5
        at = np.concatenate([[s for s in np.unique(np.concatenate([data[0], data[2]])) if s >= 0.3], [np.inf]])[0]
        position = np.searchsorted(np.append(np.unique(np.concatenate([data[0], data[2]])), np.inf), at)
        np.testing.assert_allclose([fmrs_fnmrs[0][r], fmrs_fnmrs[1][r]], [fmr[position], 1 - tar[position]], atol=1e-6)


def test_a_replicate_of_one_person_alone_has_no_figure():
    data = simulated(1, people=3)
    weights = np.array([[3, 0, 0], [1, 1, 1]], np.float32)
    found = IdentityBootstrap(*data, weights)
    for replicates in (found.eer(), found.rates(0.3)[0], found.tar_at_far(0.1)):
        assert np.isfinite(replicates).tolist() == [False, True]


def test_the_equal_error_rate_of_scores_that_never_cross_is_zero_and_not_below():
    genuine, impostor = np.full(7, 0.9, np.float32), np.full(12, 0.1, np.float32)
    people = np.column_stack([np.arange(12) % 3, (np.arange(12) + 1) % 3])
    eers = IdentityBootstrap(genuine, np.arange(7) % 3, impostor, people, draw_people(3, 50, 0)).eer()
    assert not np.signbit(eers[np.isfinite(eers)]).any()


def test_replicates_of_a_pair_lists_accuracy_equal_a_naive_loop():
    draw = np.random.default_rng(2)
    people = draw.integers(0, 8, (60, 2))
    people[:30, 1] = people[:30, 0]
    same, correct, weights = people[:, 0] == people[:, 1], draw.random(60) < 0.7, draw_people(8, 40, 1)
    found = accuracy_replicates(correct, same, people, weights)
    for value, drawn in zip(found, weights.astype(int), strict=True):
        copies = [drawn[a] if a == b else drawn[a] * drawn[b] for a, b in people]
        decided = {
            kind: [c for c, n, s in zip(correct, copies, same, strict=True) if s == kind for _ in range(n)]
            for kind in (True, False)
        }
        expected = sum(np.mean(decided[kind]) * (same == kind).mean() for kind in decided)
        assert value == pytest.approx(expected, abs=1e-6)
    assert accuracy_replicates(correct, same, people, np.ones((1, 8), np.float32))[0] == pytest.approx(correct.mean())


def test_people_drawn_once_each_give_the_figure_itself():
    from metrics.verification import eer, error_rates, tar_at_far

    genuine, person, impostor, people = simulated(3)
    found = IdentityBootstrap(genuine, person, impostor, people, np.ones((1, 20), np.float32))
    assert found.eer()[0] == pytest.approx(eer(genuine, impostor).value, abs=1e-6)
    assert found.tar_at_far(0.02)[0] == pytest.approx(tar_at_far(genuine, impostor, 0.02).tar, abs=1e-6)
    rates = error_rates(genuine, impostor, 0.37)
    assert [values[0] for values in found.rates(0.37)] == pytest.approx([rates.fmr, rates.fnmr], abs=1e-6)


def test_an_interval_ignores_replicates_without_a_figure():
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert interval(np.full(3, np.nan)) is None


def test_the_interval_of_a_rate_stays_inside_zero_and_one_and_holds_it():
    values = np.random.default_rng(0).beta(2, 60, 500)
    low, high = rate_interval(0.03, values, 50)
    assert 0 < low < 0.03 < high < 1 and high - 0.03 > 0.03 - low
    assert rate_interval(0.0, np.zeros(9), 50) == (0.0, 0.0)


def test_draws_are_whole_and_repeatable():
    weights = draw_people(50, 10, seed=1)
    assert (weights.sum(1) == 50).all()
    np.testing.assert_array_equal(weights, draw_people(50, 10, seed=1))


def test_few_people_and_few_replicates_widen_an_interval():
    values = np.random.default_rng(0).beta(2, 60, 500)
    spans = [np.diff(rate_interval(0.03, *given))[0] for given in ((values, 500), (values, 6), (values[:20], 6))]
    assert spans[1] > 1.3 * spans[0] and spans[2] > spans[1]


def test_people_with_genuine_comparisons_are_counted():
    genuine, person, impostor, people = simulated(1)
    some = person < 7
    found = IdentityBootstrap(genuine[some], person[some], impostor, people, draw_people(20, 3, seed=0))
    assert found.mated == 7


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["tar", "eer", "fnmr", "fmr"])
def test_intervals_cover_the_truth_in_92_to_97_percent_of_500_simulations(figure):
    from benchmarks.coverage import coverage

    # Measured: 95.2, 94.2, 94.0 and 93.0 %, each known to 1.1 points; FMR's lies at the edge of 93 to 97 %.
    assert 0.92 <= coverage(seed=2027)[figure][0] <= 0.97
