import csv
import json

import numpy as np
import pytest

from engine.text import TextError
from pipeline.compare import main as compare_main
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation.protocols import ProtocolError, read_image_list, read_image_sets, read_pair_list

KEYS, PERSON = ["a/0", "a/1", "b/0", "b, 2/1", "Ö/x"], np.array([0, 0, 1, 2, 3])


def write(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_lists_are_lines_or_a_csv_and_count_each_image_once(tmp_path):
    (tmp_path / "list.txt").write_text("a/1\n\nb, 2/1.png\na/1\nÖ/x\n", encoding="utf-8")
    table = write(tmp_path / "list.csv", ["person", "image"], ["x", "a/1.jpg"], ["y", "b, 2/1"], ["z", "Ö/x"])
    for path in (tmp_path / "list.txt", table):
        assert read_image_list(path, KEYS, tmp_path).tolist() == [1, 3, 4]


def test_a_set_is_the_unit_mean_of_its_images(tmp_path):
    path = write(tmp_path / "sets.csv", ["set", "image"], ["s2", "b/0"], ["s1", "a/0"], ["s1", "a/1.png"])
    sets = read_image_sets(path, KEYS, PERSON, tmp_path)
    values = np.eye(5, dtype=np.float32)
    values[1] = np.nan
    extended = sets.append_to(values)
    assert sets.names == ["s1", "s2"] and sets.person.tolist() == [0, 1]
    np.testing.assert_allclose(extended[5:], values[[0, 2]])  # an unreadable image leaves the others
    values[1] = [0, 1, 0, 0, 0]
    np.testing.assert_allclose(sets.append_to(values)[5], np.array([1, 1, 0, 0, 0]) / 2**0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["set", "image"], ["s", "a/0"], ["s", "b/0"]], "two people"),
        ([["set", "image"], ["a/0", "a/0"]], "name of an image"),
        ([["set", "picture"], ["s", "a/0"]], "no column 'image'"),
        ([["set", "image"], ["", "a/0"]], "line 2"),
        ([["set", "image"]], "nothing below the header"),
        ([["set", "image"], ["s", "c/9"]], "missing_images.txt"),
    ],
)
def test_sets_that_are_none_are_refused(tmp_path, rows, message):
    with pytest.raises(ProtocolError, match=message):
        read_image_sets(write(tmp_path / "sets.csv", *rows), KEYS, PERSON, tmp_path)


def test_pairs_that_contradict_each_other_are_refused_and_other_files_too(tmp_path):
    header = ["first", "second", "same"]
    path = write(tmp_path / "pairs.csv", header, ["a/0", "a/1", "1"], ["a/0", "a/1", "no"])
    with pytest.raises(ProtocolError, match="as one person and as two"):
        read_pair_list(path, KEYS, tmp_path)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(TextError, match="line 1: not UTF-16 text"):
        read_image_list(tmp_path / "list.txt", KEYS, tmp_path)


def results(folder):
    report = json.loads((folder / "report.json").read_text())
    return {(entry["system"], entry["size_px"]): entry for entry in report["results"]}


def test_lists_name_sets_beside_images_in_closed_and_open_set_searches(chain, tmp_path, run, arguments):
    sets = write(
        tmp_path / "sets.csv", ["set", "image"], *[[f"all of {n}", f"{n}/{i}"] for n in ("Eve", "Gil") for i in (1, 2)]
    )
    gallery = write(tmp_path / "gallery.csv", ["image"], ["Eve/0"], ["Finn/0"], ["Gil/0"])
    (tmp_path / "closed.txt").write_text("all of Eve\nall of Gil\nFinn/1\n")
    (tmp_path / "open.txt").write_text("all of Eve\nHao/0\nIda/3\n")
    pairs = write(
        tmp_path / "pairs.csv", ["first", "second", "same"], ["Eve/0", "all of Eve", 1], ["Eve/0", "all of Gil", 0]
    )
    lists = ["--sets", sets, "--gallery", gallery, "--pairs", pairs, "--systems", "bicubic", "--bootstrap", "20"]
    for kind, mated, strangers in (("closed", 3, 0), ("open", 1, 2)):
        assert run(evaluate_main, arguments(chain, tmp_path / kind, *lists, "--probes", tmp_path / f"{kind}.txt")) == 0
        found = results(tmp_path / kind)["bicubic", 8]
        assert found["identification"]["mated"] == mated and found["identification"]["non_mated"] == strangers
        assert (found["identification"]["at_threshold"] is None) == (strangers == 0)
        assert found["pairs"]["verification"]["genuines"] == found["pairs"]["verification"]["impostors"] == 1


def test_strangers_enrolled_as_well_make_searches_harder_and_faiss_finds_the_same(chain, tmp_path, run, arguments):
    draw = np.random.default_rng(0).normal(size=(500, 512))
    np.save(tmp_path / "far.npy", (draw / np.linalg.norm(draw, axis=1, keepdims=True)).astype(np.float32))
    base = ["--systems", "bicubic", "--sizes", "16", "--bootstrap", "0"]
    cases = {
        "none": [],
        "split": ["--distractors", chain / "val_processed"],
        "file": ["--distractors", tmp_path / "far.npy"],
    }
    found = {}
    for name, more in cases.items():
        assert run(evaluate_main, arguments(chain, tmp_path / name, *base, *more)) == 0
        found[name] = results(tmp_path / name)["bicubic", 16]["identification"]
    assert [found[name]["gallery"] for name in cases] == [9, 9 + 37, 9 + 500]
    assert found["split"]["cmc"][0] <= found["none"]["cmc"][0]
    pytest.importorskip("faiss", reason="needs the extra faiss")
    more = [*base, *cases["file"], "--search", "faiss"]
    assert run(evaluate_main, arguments(chain, tmp_path / "faiss", *more)) == 0
    indexed = results(tmp_path / "faiss")["bicubic", 16]["identification"]
    assert indexed["index"]["checked"] == 28 and indexed["index"]["agreeing"] > 0.9
    assert indexed["cmc"][0] == pytest.approx(found["file"]["cmc"][0], abs=0.1)
    shares = [entry["identification"]["index"]["agreeing"] for entry in results(tmp_path / "faiss").values()]
    said = f"the same answer for {round(28 * min(shares))} of 28 probes"
    assert said in (tmp_path / "faiss" / "summary.md").read_text()
    assert "compressed index" not in (tmp_path / "file" / "summary.md").read_text()


def test_an_image_never_meets_itself_in_lists(chain, tmp_path, capsys, run, arguments):
    sets = write(tmp_path / "sets.csv", ["set", "image"], ["Eve all", "Eve/0"], ["Eve all", "Eve/1"])
    files = {"eve.txt": "Eve/0\nFinn/0\n", "both.txt": "Finn/0\nFinn/1\n", "all.txt": "Eve all\nFinn/1\n"}
    for name, text in {**files, "apart.txt": "Eve/2\nFinn/1\n"}.items():
        (tmp_path / name).write_text(text)
    itself = write(tmp_path / "pairs.csv", ["first", "second", "same"], ["Eve/0", "Eve/0", 1], ["Eve/0", "Gil/0", 0])
    in_set = write(tmp_path / "set.csv", ["first", "second", "same"], ["Eve/1", "Eve all", 1], ["Eve/0", "Gil/0", 0])

    def searching(probes):
        return ["--gallery", tmp_path / "eve.txt", "--probes", tmp_path / probes, "--sets", sets]

    base = ["--systems", "hr", "--bootstrap", "0"]
    for more, said in (
        (["--distractors", chain / "test_processed"], "evaluated split itself, whose people must not be used"),
        (searching("both.txt"), "1 images are enrolled and search as well (Finn/0), which flatters"),
        (searching("all.txt"), "1 images are enrolled and search as well (Eve/0)"),
        (["--pairs", itself], "pairs.csv: a pair compares 'Eve/0' with itself"),
        (["--pairs", in_set, *searching("apart.txt")], "set.csv: a pair compares 'Eve/1' with itself"),
    ):
        assert run(evaluate_main, arguments(chain, tmp_path / "out", *base, *more)) == 2
        assert said in capsys.readouterr().err
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *base, *searching("apart.txt"))) == 0


def test_rank_1_is_paired_only_where_both_searched_the_same_gallery(chain, report_folder, tmp_path, run, arguments):
    base = ["--systems", "bicubic", "--sizes", "16"]
    (tmp_path / "gallery.txt").write_text("Eve/0\nFinn/0\n")
    (tmp_path / "probes.txt").write_text("Eve/1\nFinn/1\nGil/1\n")
    lists = ["--gallery", tmp_path / "gallery.txt", "--probes", tmp_path / "probes.txt"]
    cases = {"same": ["--no-flip"], "lists": lists, "strangers": ["--distractors", chain / "val_processed"]}
    for name, more in cases.items():
        assert run(evaluate_main, arguments(chain, tmp_path / name, *base, *more)) == 0
    folders = [tmp_path / name for name in cases]
    assert run(compare_main, [report_folder, *folders, "--out", tmp_path / "comparison"]) == 0
    rows = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["rows"]
    found = {row["system"].partition(":")[0]: row for row in rows if row["size_px"] == 16}
    assert {name: found[name]["figures"]["rank1"]["against"] is not None for name in cases} == {
        "same": True,
        "lists": False,
        "strangers": False,
    }
    assert all(found[name]["figures"]["eer"]["against"] for name in cases)
    assert found["same"]["system"].endswith("no mirror images")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((4, 512), np.float32), "not of length 1"),
        (np.eye(4, 100, dtype=np.float32), "needed are float32"),
        (None, "no readable .npy"),
        (b"", "no readable .npy"),
        (b"PK\x03\x04 an archive", "no readable .npy"),
    ],
)
def test_distractors_that_are_no_embeddings_are_refused(chain, tmp_path, capsys, values, message, run, arguments):
    path = tmp_path / "strangers.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    elif values is not None:
        np.save(path, values)
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--distractors", path)) == 2
    assert message in capsys.readouterr().err
