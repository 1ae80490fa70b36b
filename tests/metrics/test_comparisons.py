import numpy as np
import pytest

from metrics.comparisons import FAILED_SCORE, all_pairs, listed_pairs, mean_templates, score_blocks
from metrics.verification import ScoreError


def drawn(count=23, people=6, seed=0):
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(2, count, 8)).astype(np.float32)
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    return values[0], values[1], draw.integers(0, people, count)


def test_all_pairs_equal_a_double_loop_with_their_rows():
    probes, gallery, person = drawn()
    found = all_pairs(probes, gallery, person, person)
    expected = {True: {}, False: {}}
    for p in range(len(person)):
        for g in range(len(person)):
            if p != g:
                expected[bool(person[p] == person[g])][p, g] = probes[p] @ gallery[g]
    for kind, scores, rows in (
        (True, found.genuine, found.genuine_rows),
        (False, found.impostor, found.impostor_rows()),
    ):
        assert {tuple(row) for row in rows.tolist()} == set(expected[kind])
        np.testing.assert_allclose(scores, [expected[kind][tuple(row)] for row in rows.tolist()], atol=1e-6)
    some = np.array([5, 0, len(found.impostor) - 1])
    np.testing.assert_array_equal(found.impostor_rows(some), found.impostor_rows()[some])


def test_impostors_of_a_group_are_those_of_which_both_faces_are_in_it():
    probes, gallery, person = drawn()
    found, member = all_pairs(probes, gallery, person, person), np.arange(23) % 3 > 0
    expected = np.flatnonzero(member[found.impostor_rows()].all(1))
    np.testing.assert_array_equal(found.impostors_among(member), expected)
    assert len(found.impostors_among(member & False)) == 0 < len(expected) < len(found.impostor)


def test_other_galleries_have_no_photograph_in_common():
    probes, gallery, person = drawn()
    found = all_pairs(probes, gallery[:9], person, person[:9], same_image=False)
    assert len(found.genuine) + len(found.impostor) == 23 * 9
    with pytest.raises(ScoreError, match="cannot be the same photographs"):
        all_pairs(probes, gallery[:9], person, person[:9])


def test_an_unreadable_face_is_rejected_on_either_side():
    probes, gallery, person = drawn()
    probes[3], gallery[5] = np.nan, np.nan
    found = all_pairs(probes, gallery, person, person)
    rows = np.concatenate([found.genuine_rows, found.impostor_rows()])
    scores = np.concatenate([found.genuine, found.impostor])
    failed = (rows[:, 0] == 3) | (rows[:, 1] == 5)
    assert (scores[failed] == FAILED_SCORE).all() and (scores[~failed] >= -1.01).all()
    assert listed_pairs(probes, gallery, np.array([[3, 1], [1, 1]])).tolist()[0] == FAILED_SCORE


def test_blocks_of_any_height_give_the_same_scores():
    probes, gallery, _ = drawn()
    whole = probes @ gallery.T
    for block_bytes in (1, 4 * 23 * 5, 1 << 20):
        parts = [(start, scores.copy()) for start, scores in score_blocks(probes, gallery, block_bytes)]
        np.testing.assert_allclose(np.concatenate([scores for _, scores in parts]), whole, atol=1e-6)


def test_a_template_is_the_unit_mean_of_the_readable_faces():
    probes, _, _ = drawn(count=4)
    probes[1] = np.nan
    people, templates = mean_templates(probes, np.array([2, 2, 2, 7]))
    mean = probes[0] + probes[2]
    assert people.tolist() == [2, 7]
    np.testing.assert_allclose(templates[0], mean / np.linalg.norm(mean), rtol=1e-6)
    assert np.isnan(mean_templates(np.full((1, 4), np.nan, np.float32), np.array([0]))[1]).all()
