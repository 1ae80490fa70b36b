import numpy as np
import pytest

from pipeline import top_matches as module
from pipeline.top_matches import top_matches


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_matches_equal_a_full_sort_in_blocks_of_any_size(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    draw = np.random.default_rng(0)
    gallery, probes = draw.normal(size=(50, 6)).astype(np.float32), draw.normal(size=(9, 6)).astype(np.float32)
    scores, rows = top_matches(probes, gallery, 5)
    whole = probes @ gallery.T
    order = np.argsort(-whole, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(scores, np.take_along_axis(whole, order, 1), atol=1e-6)


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
