import errno
import json
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.store import FaceStore
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation import embedding_cache
from pipeline.evaluation.embedding_cache import EmbeddingCache

KEYS = [{"recogniser": "a"}, {"recogniser": "b"}]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(embedding_cache, "BLOCK", 4)


def values_of(block, wanted):
    """Return (B, R, 3): each row's number, and the network's."""
    rows = np.arange(block.start, block.stop, dtype=np.float32)
    return np.stack([np.stack([rows, rows, np.full_like(rows, number)], 1) for number in wanted], 1)


def test_of_two_evaluations_at_once_one_embeds_and_the_other_waits_for_it(tmp_path):
    begun, go_on, calls, found = threading.Event(), threading.Event(), [], {}

    def embed(block, wanted):
        calls.append(block.start)
        begun.set()
        assert go_on.wait(30)
        return values_of(block, wanted)

    def evaluate(name):
        found[name] = EmbeddingCache(tmp_path).get(KEYS, 10, embed)

    first, second = (threading.Thread(target=evaluate, args=[name]) for name in "ab")
    first.start()
    assert begun.wait(30)
    second.start()
    second.join(0.5)
    assert second.is_alive() and calls == [0]
    go_on.set()
    first.join(30)
    second.join(30)
    assert calls == [0, 4, 8]
    for one, two, number in zip(found["a"], found["b"], range(2), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, values_of(slice(0, 10), [number])[:, 0])
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix != ".lock") == [".npy", ".npy"]


def test_a_cache_that_is_only_read_is_used_and_what_it_lacks_is_kept_elsewhere(
    tmp_path, monkeypatch, capsys, only_read
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    EmbeddingCache(tmp_path / "shared").get(KEYS[:1], 10, values_of)
    only_read(tmp_path / "shared")
    EmbeddingCache(tmp_path / "shared").get(KEYS[:1], 10, lambda *given: pytest.fail("embedded again"))
    assert capsys.readouterr().err == ""
    (found,) = EmbeddingCache(tmp_path / "shared").get(KEYS[1:], 10, values_of)
    np.testing.assert_array_equal(found, values_of(slice(0, 10), [0])[:, 0])
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the cache of embeddings" in said and str(tmp_path / "user") in said
    EmbeddingCache(tmp_path / "shared").get(KEYS[1:], 10, lambda *given: pytest.fail("embedded again"))


def test_an_interrupted_embedding_goes_on_after_the_last_whole_block(tmp_path):
    calls = []

    def embed(block, wanted):
        calls.append(block.start)
        if block.start == 8 and calls.count(8) == 1:
            raise KeyboardInterrupt
        return values_of(block, wanted)

    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).get(KEYS, 10, embed)
    found = EmbeddingCache(tmp_path).get(KEYS, 10, embed)
    assert calls == [0, 4, 8, 8]
    np.testing.assert_array_equal(found[1], values_of(slice(0, 10), [1])[:, 0])


def test_images_that_cannot_be_read_are_listed_again_when_the_embeddings_come_from_the_cache(
    chain, tmp_path, run, arguments, monkeypatch
):
    store = FaceStore.open(chain / "test_processed")
    for row, name in enumerate(store.images[:16]):
        path = tmp_path / "split" / "hr_images" / Path(name).parent.name / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(store.faces[row]).save(path)
    path.write_bytes(b"no picture")
    broken = f"{path.parent.name}/{path.stem}"
    more = ["--dataset-root", tmp_path / "split", "--systems", "bicubic", "--bootstrap", "0", "--cache", tmp_path / "c"]
    assert run(evaluate_main, arguments(chain, tmp_path / "first", *more)) == 0
    monkeypatch.setattr("pipeline.evaluation.embedder.embed_faces", lambda *_: pytest.fail("embedded again"))
    assert run(evaluate_main, arguments(chain, tmp_path / "second", *more)) == 0
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("first", "second")]
    assert reports[0]["failures"] == reports[1]["failures"]
    assert [entry["image"] for entry in reports[0]["failures"]] == [broken]
    assert {entry["failed"] for report in reports for entry in report["results"]} == {1}


@pytest.mark.parametrize("why", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_an_output_that_cannot_be_written_is_one_line_before_anything_is_embedded(
    chain, tmp_path, capsys, run, arguments, monkeypatch, why
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("earlier")
    open_file = os.open

    def refuse(path, *given, **more):
        if str(path).startswith(str(out)):
            raise OSError(why, os.strerror(why), path)
        return open_file(path, *given, **more)

    monkeypatch.setattr(tempfile._os, "open", refuse)
    monkeypatch.setattr("pipeline.evaluation.embedder.embed_faces", lambda *_: pytest.fail("embedded first"))
    assert run(evaluate_main, arguments(chain, out, "--no-keep")) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error: {out}: ") and "choose a place" in lines[0]
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("report.json", "earlier")]
