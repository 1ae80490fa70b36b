import numpy as np
import pytest

from metrics import faiss_search, streamed_search
from metrics.faiss_search import search_by_faiss
from metrics.identification import searches
from metrics.streamed_search import stream_searches


def unit(values):
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def drawn(people=40, strangers=300, seed=0, noise=0.12):
    """Templates of even numbered people, strangers' templates, and two probes of every person."""
    draw = np.random.default_rng(seed)
    faces = draw.normal(size=(people, 64))
    probe_person = np.repeat(np.arange(people), 2)
    probes = unit(faces[probe_person] + noise * 8 * draw.normal(size=(2 * people, 64)))
    enrolled = np.arange(0, people, 2)
    return probes, probe_person, unit(faces[enrolled]), enrolled, unit(draw.normal(size=(strangers, 64)))


def whole_matrix(probes, probe_person, templates, people, strangers):
    every = np.concatenate([templates, strangers]).astype(np.float64)
    owner = np.append(people, 10_000 + np.arange(len(strangers)))
    return searches(np.nan_to_num(probes.astype(np.float64) @ every.T, nan=-2.0), probe_person, owner)


@pytest.mark.parametrize("block", [64, 1 << 13, 1 << 22])
def test_streamed_searches_equal_those_on_the_whole_matrix(block, monkeypatch):
    monkeypatch.setattr(streamed_search, "_BLOCK_SCORES", block)
    given = drawn()
    found, expected = stream_searches(*given[:4], [given[4]]), whole_matrix(*given)
    assert found.rank.tolist() == expected.rank.tolist() and found.gallery == expected.gallery == 320
    np.testing.assert_allclose(found.mate, expected.mate, atol=1e-6)
    np.testing.assert_allclose(found.top, expected.top, atol=1e-6)


def test_a_stranger_with_the_mates_own_template_counts_against_the_system():
    probes, person, templates, people, strangers = drawn()
    alone = stream_searches(probes, person, templates, people, [strangers])
    beside = stream_searches(probes, person, templates, people, [strangers, templates])
    assert (beside.rank >= alone.rank + 1).all()
    assert beside.rank[alone.rank == 1].tolist() == [2] * int((alone.rank == 1).sum())


def test_failures_find_nobody_and_are_found_by_nobody():
    probes, person, templates, people, strangers = drawn()
    probes[0], templates[3], strangers[5] = np.nan, np.nan, np.nan
    found, expected = (
        stream_searches(probes, person, templates, people, [strangers]),
        whole_matrix(probes, person, templates, people, strangers),
    )
    assert found.rank.tolist() == expected.rank.tolist()
    assert found.rank[0] == 320 and found.mate[0] == -2


def test_a_gallery_on_the_disk_is_read_block_by_block(tmp_path):
    given = drawn()
    np.save(tmp_path / "strangers.npy", given[4])
    mapped = np.load(tmp_path / "strangers.npy", mmap_mode="r")
    assert stream_searches(*given[:4], [mapped]).rank.tolist() == stream_searches(*given[:4], [given[4]]).rank.tolist()


@pytest.mark.parametrize("listed", [100, 100_000])
def test_a_compressed_index_gives_exact_scores_and_says_how_often_it_agrees(listed, monkeypatch):
    pytest.importorskip("faiss", reason="needs the extra faiss")
    monkeypatch.setattr(faiss_search, "_LISTED", listed)
    given = drawn(people=60, strangers=4000)
    exact = stream_searches(*given[:4], [given[4]])
    found, check = search_by_faiss(*given[:4], [given[4]])
    np.testing.assert_allclose(found.mate, exact.mate, atol=1e-6)
    agreeing = np.append(found.rank == np.minimum(exact.rank, 51), np.isclose(found.top, exact.top, atol=1e-5))
    assert check.checked == 100 and (0.3 < check.agreeing < 1 if listed == 100 else check.agreeing == 1)
    assert check.agreeing == pytest.approx(agreeing.mean(), abs=0.1)
    assert (found.rank <= exact.rank).all()  # what the index overlooks can only flatter, which is why it is checked
