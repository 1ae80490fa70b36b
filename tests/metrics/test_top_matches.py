import numpy as np
import pytest

from metrics import top_matches as module
from metrics.top_matches import top_matches


@pytest.mark.parametrize("block", [1, 30, 1 << 20])
@pytest.mark.parametrize("digits", [0, 7])
def test_matches_equal_a_full_sort_in_blocks_of_any_size(block, digits, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_SCORES", block)
    monkeypatch.setattr(module, "_LEAST", 2)
    draw = np.random.default_rng(0)
    gallery = draw.normal(size=(200, 6)).round(digits).astype(np.float32)
    probes = draw.normal(size=(9, 6)).round(digits).astype(np.float32)
    scores, rows = top_matches(probes, gallery, 5)
    whole = (gallery @ probes.T).T
    order = np.argsort(-whole, axis=1, kind="stable")[:, :5]
    np.testing.assert_allclose(scores, np.take_along_axis(whole, order, 1), atol=1e-6)
    if digits == 0:  # whole numbers: sums are exact, so ties are ties in blocks of any size
        np.testing.assert_array_equal(rows, order)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_a_gallery_that_gets_better_row_by_row_is_searched_as_well():
    gallery = np.linspace(0, 1, 700, dtype=np.float32)[:, None]
    scores, rows = top_matches(np.ones((3, 1), np.float32), gallery, 4)
    assert rows.tolist() == [[699, 698, 697, 696]] * 3 and scores[0, 0] == 1


def test_a_face_that_could_not_be_read_neither_matches_nor_is_matched():
    gallery, probes = np.ones((3, 2), np.float32), np.ones((2, 2), np.float32)
    gallery[0], probes[1] = np.nan, np.nan
    scores, rows = top_matches(probes, gallery, 2)
    assert rows.tolist() == [[1, 2], [3, 3]] and (scores[1] == -np.inf).all()


def test_of_equal_scores_the_lower_row_comes_first_and_a_small_gallery_gives_what_it_has():
    gallery = np.ones((3, 2), np.float32)
    scores, rows = top_matches(np.ones((2, 2), np.float32), gallery, 10)
    assert rows.tolist() == [[0, 1, 2]] * 2 and scores.shape == (2, 3)


def test_the_exact_path_equals_faiss():
    faiss = pytest.importorskip("faiss", reason="needs the extra faiss")
    draw = np.random.default_rng(1)
    gallery, probes = draw.normal(size=(3000, 32)).astype(np.float32), draw.normal(size=(20, 32)).astype(np.float32)
    index = faiss.IndexFlatIP(32)
    index.add(gallery)
    np.testing.assert_array_equal(top_matches(probes, gallery, 10)[1], index.search(probes, 10)[1])
