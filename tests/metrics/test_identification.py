import numpy as np
import pytest

from metrics.identification import cmc, fnir_at_fpir, open_set, searches
from metrics.verification import ScoreError


def drawn(seed=0, digits=1, probes=200, gallery=30):
    draw = np.random.default_rng(seed)
    people = draw.integers(0, 50, probes)  # 30 enrolled, 20 strangers
    scores = draw.normal(0, 0.3, (probes, gallery)) + 0.5 * (people[:, None] == np.arange(gallery))
    return scores.round(digits), people, np.arange(gallery)


def test_ranks_equal_a_naive_loop_with_pessimistic_ties():
    scores, people, gallery = drawn()
    found = searches(scores, people, gallery)
    expected = [
        1 + sum(scores[row, other] >= scores[row, person] for other in gallery if other != person)
        for row, person in enumerate(people)
        if person < 30
    ]
    assert found.rank.tolist() == expected
    np.testing.assert_allclose(cmc(found.rank, 5), [np.mean(np.array(expected) <= r) for r in range(1, 6)])


def test_a_stranger_with_the_mates_score_is_not_a_hit():
    """A peer sorts by reversed argsort, so the order of equal scores decides: here it claims rank 1 for all."""
    scores, people = np.full((3, 3), 0.5), np.array([2, 2, 2])
    reversed_argsort = np.argsort(scores, axis=1)[:, ::-1]
    theirs = float((reversed_argsort[:, 0] == people).mean())
    ours = cmc(searches(scores, people, np.arange(3)).rank, 3)
    assert theirs == 1.0
    assert ours.tolist() == [0.0, 0.0, 1.0]


def test_fpir_counts_searches_and_not_pairs():
    """A peer pools all pairs of a stranger with the gallery: with 100 templates it claims 1 % where all are found."""
    scores = np.zeros((20, 100))
    scores[:, 7] = 0.9
    strangers = np.full(20, 500)
    found = searches(np.vstack([scores, np.eye(100)[:5]]), np.append(strangers, np.arange(5)), np.arange(100))
    assert float((scores >= 0.5).mean()) == 0.01
    assert open_set(found, 0.5).fpir == 1.0


@pytest.mark.parametrize("rank", [1, 3])
def test_open_set_rates_equal_a_naive_loop(rank):
    scores, people, gallery = drawn(3, digits=2)
    found = searches(scores, people, gallery)
    rates = open_set(found, 0.4, rank)
    strangers = [row for row, person in enumerate(people) if person >= 30]
    mated = [row for row, person in enumerate(people) if person < 30]
    misses = [scores[row, people[row]] < 0.4 or (scores[row] >= scores[row, people[row]]).sum() > rank for row in mated]
    assert rates.fpir == pytest.approx(np.mean([scores[row].max() >= 0.4 for row in strangers]))
    assert rates.fnir == pytest.approx(np.mean(misses))


def test_fnir_at_fpir_takes_the_lowest_threshold_that_keeps_the_target():
    scores, people, gallery = drawn(4, digits=2)
    found = searches(scores, people, gallery)
    rates = fnir_at_fpir(found, 0.1)
    assert rates is not None and rates.fpir <= 0.1
    candidates = np.unique(np.concatenate([found.top, found.mate]))
    lower = candidates[candidates < rates.threshold]
    assert open_set(found, float(lower[-1])).fpir > 0.1
    assert fnir_at_fpir(found, 1e-4) is None


def test_searches_that_cannot_be_measured_are_refused():
    with pytest.raises(ScoreError, match="two templates"):
        searches(np.zeros((1, 2)), np.array([0]), np.array([0, 0]))
    with pytest.raises(ScoreError, match="NaN"):
        searches(np.full((1, 2), np.nan), np.array([0]), np.array([0, 1]))
    with pytest.raises(ScoreError, match="no mated"):
        cmc(np.empty(0, np.int64), 5)
    only_mated = searches(np.eye(2), np.array([0, 1]), np.arange(2))
    with pytest.raises(ScoreError, match="0 non-mated"):
        open_set(only_mated, 0.5)
