"""`--protocol bin` and `xqlfw`: accuracy over ten folds, from the files to the report."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluate_protocol import main as protocol_main
from tests.dataset.field_files import write_bin
from tests.pipeline.published_layouts import build_xqlfw, face, naive_folds, pair_lists


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tenths(pairs):
    """Ten parts of equal length, in their order."""
    return np.array_split(np.arange(len(pairs)), 10)


def rows_of(report, group="all"):
    return {row["condition"]: row for row in report["results"] if row["group"] == group}


def test_a_bin_is_judged_in_ten_parts_at_full_size_with_one_side_and_with_both_sides_shrunk(
    embedded, evaluate, tmp_path, capsys
):
    pairs = pair_lists(people=6, folds=10, each=1)
    photos = [(face(*first), face(*second), first[0] == second[0]) for _, first, second in pairs]
    path = write_bin(tmp_path / "small.bin", [(png(one), png(other), same) for one, other, same in photos])
    report = evaluate("bin", path, tmp_path / "out", "--sizes", "16")
    rows = rows_of(report)
    same = np.array([each for *_, each in photos])

    def shrunk(pixels, size):
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        small = torch.nn.functional.interpolate(tensor, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return (small[0] * 255).round().byte().permute(1, 2, 0).numpy()

    for name, sizes in (("full size", (112, 112)), ("one side at 16 px", (112, 16)), ("both sides at 16 px", (16, 16))):
        views = [
            [each if size == 112 else shrunk(each, size) for each, size in zip(pair[:2], sizes, strict=True)]
            for pair in photos
        ]
        scores = np.array([embedded(one) @ embedded(other) for one, other in views])
        expected = naive_folds(scores, same, tenths(pairs))
        assert rows[name]["folds"] == pytest.approx(expected)
        assert rows[name]["accuracy"] == pytest.approx(np.mean(expected))
        assert rows[name]["accuracy_sd"] == pytest.approx(np.std(expected))
        assert rows[name]["genuine_mean"] == pytest.approx(scores[same].mean(), abs=1e-4)
    assert "one side at 16 px" in (tmp_path / "out" / "summary.md").read_text()
    assert "both sides at 16 px" in capsys.readouterr().out


def test_pairs_of_one_kind_have_no_accuracy_and_it_is_said(evaluate, tmp_path, capsys):
    photos = [(png(face(person, 1)), png(face(person, 2)), True) for person in range(10)]
    report = evaluate("bin", write_bin(tmp_path / "one.bin", photos), tmp_path / "out")
    row = rows_of(report)["native size"]
    assert "accuracy" not in row and row["auc"] is None
    assert row["impostor_mean"] is None and -1 <= row["genuine_mean"] <= 1
    assert "all pairs show one person, so that any accuracy is reached" in capsys.readouterr().out


def test_xqlfw_is_judged_by_its_folds_and_each_face_goes_the_way_of_its_size(embedded, evaluate, tmp_path):
    pairs = pair_lists(people=12, folds=10, each=2, seed=1)
    size_of = {1: 112, 2: 14}.__getitem__
    root = build_xqlfw(tmp_path / "xqlfw", pairs, size_of)
    report = evaluate("xqlfw", root, tmp_path / "out", "--crops", "--native-size", "file")
    scores = np.array(
        [
            embedded(face(*first, size_of(first[1]))) @ embedded(face(*second, size_of(second[1])))
            for _, first, second in pairs
        ]
    )
    same = np.array([first[0] == second[0] for _, first, second in pairs])
    assert rows_of(report)["native size"]["folds"] == pytest.approx(naive_folds(scores, same, tenths(pairs)))
    assert set(report["native_px"]) == {"13 to 16 px", "over 64 px"}
    assert any("6,000 were published" in note for note in report["notes"])


def test_a_face_that_xqlfw_lacks_is_an_error_of_its_pairs(evaluate, tmp_path):
    pairs = pair_lists(people=12, folds=10, each=2, seed=1)
    gone = pairs[0][1]
    root = build_xqlfw(tmp_path / "xqlfw", pairs, lambda photo: 20, missing=[gone])
    report = evaluate("xqlfw", root, tmp_path / "out", "--crops")
    assert list(report["failures"]) == [f"Person_{gone[0]:02d}/Person_{gone[0]:02d}_0001.jpg"]
    touched = [pair for pair in pairs if gone in pair[1:]]
    whole = rows_of(report)["native size"]
    by_size = rows_of(report, "not read")["native size"]
    assert by_size["count"] == len(touched) and whole["count"] == len(pairs)
    assert by_size["accuracy"] == pytest.approx(np.mean([first[0] != second[0] for _, first, second in touched]))


def test_a_second_evaluation_looks_for_no_face_and_embeds_none(evaluate, tmp_path, monkeypatch):
    root = build_xqlfw(tmp_path / "xqlfw", pair_lists(12, 10, 2), lambda photo: 20)
    first = evaluate("xqlfw", root, tmp_path / "out", "--crops")
    monkeypatch.setattr("pipeline.evaluation.embedder.embed_faces", lambda *_: pytest.fail("embedded again"))
    monkeypatch.setattr("pipeline.published.native_faces.NativeFaces._look", lambda *_: pytest.fail("looked again"))
    assert evaluate("xqlfw", root, tmp_path / "out", "--crops")["results"] == first["results"]


def test_an_enlarged_face_goes_the_way_of_small_ones_and_so_does_one_that_is_said_to_be_small(evaluate, tmp_path):
    enlarged = [
        np.asarray(Image.fromarray(face(0, photo, 16)).resize((112, 112), Image.Resampling.BICUBIC)) for photo in (1, 2)
    ]
    pairs = [(png(enlarged[0]), png(enlarged[1]), True), (png(face(1, 1)), png(face(2, 1)), False)] * 10
    path = write_bin(tmp_path / "set.bin", pairs)
    listed = tmp_path / "sizes.csv"
    listed.write_text("image,size_px\n" + "".join(f"image {row},{10 if row % 4 < 2 else 112}\n" for row in range(40)))
    for given, expected in (
        (["--native-size", "auto"], {"25 to 32 px": 20, "over 64 px": 20}),
        (["--native-size", "file"], {"over 64 px": 40}),
        ([], {"over 64 px": 40}),
        (["--native-size", "24"], {"17 to 24 px": 40}),
        (["--native-size", listed], {"9 to 12 px": 20, "over 64 px": 20}),
    ):
        assert evaluate("bin", path, tmp_path / "out", *given)["native_px"] == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--protocol", "bin", "nowhere.bin"], "nowhere.bin: no such file or folder"),
        (["--protocol", "bin", "."], ".: no verification set; give a file such as lfw.bin"),
        (["--protocol", "xqlfw", "."], "no list of pairs in it; put xqlfw_pairs.txt there"),
        (["--protocol", "xqlfw", ".", "--sizes", "8"], "--sizes 8: the faces of xqlfw are compared as they are"),
        (["--protocol", "lfw", "."], "'lfw'"),
        (["--protocol", "bin"], "'root'"),
    ],
)
def test_bad_input_ends_with_one_line(given, said, run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for main in (evaluate_main, protocol_main):
        assert run(main, given) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("text", ["5", "two", "missing.csv", "list.csv"])
def test_a_native_size_that_says_nothing_is_refused(text, evaluate, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("picture,pixels\na,7\n")
    path = write_bin(tmp_path / "set.bin", [(png(face(0, 1)), png(face(0, 2)), True)])
    evaluate("bin", path, tmp_path / "out", "--native-size", text, code=2)
    assert text in capsys.readouterr().err


def test_people_in_several_places_are_refused(evaluate, tmp_path, capsys):
    root = build_xqlfw(tmp_path / "xqlfw", pair_lists(12, 10, 2), lambda photo: 20)
    build_xqlfw(root / "again", pair_lists(12, 10, 2), lambda photo: 20)
    evaluate("xqlfw", root, tmp_path / "out", code=2)
    assert "people's folders in several places (again/xqlfw_aligned_112, xqlfw_aligned_112)" in capsys.readouterr().err
