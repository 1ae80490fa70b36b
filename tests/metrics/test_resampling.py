import numpy as np
import pytest

from metrics import resampling
from metrics.bootstrap import IdentityBootstrap, draw_people
from metrics.comparisons import all_pairs
from metrics.resampling import resample
from pipeline.evaluation.groups import group_figures

PEOPLE = 40


@pytest.fixture
def faces():
    draw, person = np.random.default_rng(0), np.random.default_rng(1).permutation(np.repeat(np.arange(PEOPLE), 3))
    values = draw.normal(size=(PEOPLE, 16))[person] + draw.normal(size=(len(person), 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), person


@pytest.mark.parametrize("group", [False, True])
def test_few_comparisons_are_all_resampled(faces, group):
    values, person = faces
    scores, weights = all_pairs(values, values, person, person), draw_people(PEOPLE, 50, 0)
    member = np.arange(len(person)) % 2 > 0 if group else np.ones(len(person), bool)
    genuine, rows = member[scores.genuine_rows[:, 0]], scores.impostor_rows()
    inside = member[rows].all(1)
    naive = IdentityBootstrap(
        scores.genuine[genuine],
        person[scores.genuine_rows[genuine, 0]],
        scores.impostor[inside],
        person[rows[inside]],
        weights,
    )
    found = resample(scores, person, weights, 0, member if group else None)
    np.testing.assert_allclose(found.rates(0.4), naive.rates(0.4))
    assert found.mated == naive.mated


@pytest.mark.parametrize("group", [False, True])
def test_people_are_drawn_where_there_are_too_many_comparisons(faces, monkeypatch, group):
    values, person = faces
    scores, weights = all_pairs(values, values, person, person), draw_people(PEOPLE, 50, 0)
    member = person % 2 > 0 if group else None
    monkeypatch.setattr(resampling, "MOST_COMPARED", 600)
    found = resample(scores, person, weights, 3, member)
    there = PEOPLE // 2 if group else PEOPLE
    impostors = (3 * there) ** 2 - 9 * there
    kept = int(there * (600 / impostors) ** 0.5)
    assert found.weights.shape == (50, kept) and found.mated == kept
    people = np.unique(person if member is None else person[member])
    chosen = np.sort(np.random.default_rng(3).permutation(people)[:kept])
    rows = np.isin(person, chosen)
    few = all_pairs(values[rows], values[rows], person[rows], person[rows])
    number = np.searchsorted(chosen, person[rows])
    naive = IdentityBootstrap(
        few.genuine, number[few.genuine_rows[:, 0]], few.impostor, number[few.impostor_rows()], found.weights
    )
    np.testing.assert_allclose(found.rates(0.4), naive.rates(0.4))


def test_groups_say_how_many_people_their_intervals_are_of(faces, monkeypatch):
    values, person = faces
    scores, weights = all_pairs(values, values, person, person), draw_people(PEOPLE, 50, 0)
    attributes = {"side": ["left" if number % 2 else "right" for number in person]}
    whole = group_figures(scores, person, attributes, 0.4, weights, 0)
    monkeypatch.setattr(resampling, "MOST_COMPARED", 600)
    few = group_figures(scores, person, attributes, 0.4, weights, 0)
    assert [entry["interval_people"] for entry in whole] == [20, 20]
    assert [entry["interval_people"] for entry in few] == [8, 8]
    assert [entry["fmr"] for entry in whole] == [entry["fmr"] for entry in few]
