import csv
import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.photographs.image_files import write_png
from dataset.store import FaceStore
from dataset.views.degrade import shrink
from dsr.dsr_file import load_dsr
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.saving import save_finetuned
from facial_rec.networks.edgeface import build
from metrics.folds import best_threshold
from pipeline.choose_threshold import main as choose_main
from pipeline.compare import main as compare_main
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation.embedder import embed_faces
from pipeline.recognition.torch_recognizer import Recognizer

NAMES = ["Anna, the first", 'Bo "B" Berg', "Çelik Öz", "dana evans", "Eve", "Finn", "Gil", "Hao", "Ida", "Jo"]


def test_a_report_has_every_control_and_every_file(report_folder):
    report = json.loads((report_folder / "report.json").read_text())
    rows = {(entry["system"], entry["size_px"]) for entry in report["results"]}
    low = ["bicubic", "nearest", "bilinear", "dsr", "dsr+finetuned", "finetuned"]
    assert rows == {(key, size) for key in low for size in (8, 16)} | {("hr", 112), ("hr+finetuned", 112)}
    expected = {"report.html", "summary.md", "results.csv", "scores.csv", "roc.png", "det.svg", "histograms.png"}
    assert expected <= {path.name for path in report_folder.iterdir()}
    assert "original EdgeFace" in report["protocol"]["gallery"]
    assert {entry["key"] for entry in report["absent"]} == {"dsr+adapted", "adapted", "hr+adapted"}


def test_figures_count_every_comparison_once_and_leave_the_same_photograph_out(report_folder):
    report = json.loads((report_folder / "report.json").read_text())
    for entry in report["results"]:
        assert entry["verification"]["genuines"] == 9 * 4 * 3
        assert entry["verification"]["impostors"] == 37 * 37 - 9 * 16 - 1
        assert entry["identification"]["mated"] == 27 and entry["identification"]["non_mated"] == 1
        assert entry["failed"] == 0


def test_counts_by_threshold_add_up_to_the_figures_at_the_threshold(report_folder):
    report = json.loads((report_folder / "report.json").read_text())
    for entry, curve in zip(report["results"], report["curves"], strict=True):
        rates = entry["verification"]["at_threshold"]
        from_right = {}
        for kind in ("genuine", "impostor"):
            counts = np.array(curve[kind].split(), int)
            from_right[kind] = counts[max(0, 350 - curve["first_step"]) :].sum()
        assert rates["false_matches"] == from_right["impostor"]
        assert rates["genuines"] - rates["false_non_matches"] == from_right["genuine"]


def test_names_with_commas_quotes_spaces_and_accents_survive(report_folder):
    with (report_folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        people = {row["probe"].rpartition("/")[0] for row in csv.DictReader(file)}
    assert people <= set(NAMES) and len(people) > 5


def test_a_second_evaluation_embeds_nothing_and_says_the_same(chain, report_folder, monkeypatch, run, arguments):
    monkeypatch.setattr("pipeline.evaluation.embedder.embed_faces", lambda *_: pytest.fail("embedded again"))
    assert run(evaluate_main, arguments(chain, chain / "again")) == 0
    first, second = (json.loads((folder / "report.json").read_text()) for folder in (report_folder, chain / "again"))
    assert first["results"] == second["results"]


def test_rows_whose_weights_are_absent_are_left_out_and_named(chain, capsys, run, arguments):
    out = chain / "few"
    argv = arguments(chain, out, "--dsr", "none", "--finetuned", "none", "--sizes", "12", "--bootstrap", "0")
    assert run(evaluate_main, argv) == 0
    report = json.loads((out / "report.json").read_text())
    assert [entry["system"] for entry in report["results"]] == ["bicubic", "nearest", "bilinear", "hr"]
    assert "absent (no super-resolver given): dsr\n" in capsys.readouterr().out


def test_a_threshold_is_chosen_on_development_people_and_frozen(chain, capsys, run, arguments):
    path = chain / "threshold.json"
    weights = arguments(chain, chain / "unused")[6:14]
    given = [chain / "val_processed", "--target", "far=0.05", "--out", path, "--sizes", "8,16", "--bootstrap", "50"]
    assert run(choose_main, [*given, *weights, "--cache", chain / "cache"]) == 0
    chosen = json.loads(path.read_text())
    assert chosen["system"] == "dsr+finetuned" and set(chosen["hashes"]) == {"original", "finetuned", "dsr"}
    assert run(evaluate_main, arguments(chain, chain / "frozen", "--threshold", f"@{path}")) == 0
    report = json.loads((chain / "frozen" / "report.json").read_text())
    assert {entry["threshold"] for entry in report["results"]} == {chosen["value"]}
    capsys.readouterr()
    argv = arguments(chain, chain / "other", "--threshold", f"@{path}", "--finetuned", chain / "original.pth")
    assert run(evaluate_main, argv) == 2
    assert "finetuned network is another one here" in capsys.readouterr().err
    assert run(evaluate_main, [*argv, "--any-system"]) == 0


def test_a_threshold_for_each_size_has_one_for_full_size_faces_too(chain, tmp_path, run, arguments):
    path, weights = tmp_path / "threshold.json", arguments(chain, chain / "unused")[6:14]
    given = [chain / "val_processed", "--target", "far=0.05", "--sizes", "8,16", "--bootstrap", "0", *weights]
    assert run(choose_main, [*given, "--per-size", "--out", path, "--cache", chain / "cache"]) == 0
    chosen = json.loads(path.read_text())
    assert list(chosen["by_size"]) == list(map(str, chosen["data"]["sizes_px"])) == ["8", "16", "112"]
    assert chosen["achieved"]["HR"]["fmr"] <= 0.05 and chosen["achieved"]["HR"]["genuines"] == 9 * 4 * 3
    far = arguments(chain, tmp_path / "far", "--threshold", "far=0.05", "--threshold-per-size", "--bootstrap", "0")
    file = arguments(chain, tmp_path / "file", "--threshold", f"@{path}", "--bootstrap", "0")
    assert run(evaluate_main, far) == run(evaluate_main, file) == 0
    by_cell = [
        {(r["system"], r["size_px"]): r["threshold"] for r in json.loads((out / "report.json").read_text())["results"]}
        for out in (tmp_path / "far", tmp_path / "file")
    ]
    for cell in (("dsr+finetuned", 8), ("dsr+finetuned", 16), ("hr", 112)):
        assert by_cell[0][cell] == by_cell[1][cell]
    assert run(choose_main, [*given, "--out", path, "--cache", chain / "cache"]) == 0
    pooled = json.loads(path.read_text())
    assert pooled["value"] == chosen["value"] and pooled["by_size"] == {} and "HR" not in pooled["achieved"]


def test_a_threshold_file_is_refused_on_the_faces_it_was_chosen_on_and_with_other_mirror_images(
    chain, tmp_path, capsys, run, arguments
):
    path, weights = tmp_path / "threshold.json", arguments(chain, chain / "unused")[6:14]
    shutil.copytree(chain / "val_processed", tmp_path / "copy")
    more = ["--target", "far=0.05", "--sizes", "8", "--bootstrap", "0", "--no-flip", "--out", path, *weights]
    assert run(choose_main, [chain / "val_processed", *more, "--cache", chain / "cache"]) == 0
    assert json.loads(path.read_text())["flip"] is False
    file = ["--threshold", f"@{path}", "--bootstrap", "0", "--systems", "hr"]
    same = ["--no-flip", "--dataset-root", tmp_path / "copy", "--any-system"]
    for given, said in (
        (same, "evaluated split itself, which flatters"),
        ([], "chosen without mirror images, which are added here"),
    ):
        assert run(evaluate_main, arguments(chain, tmp_path / "out", *file, *given)) == 2
        assert said in capsys.readouterr().err
    for given in (["--no-flip"], ["--any-system"]):
        assert run(evaluate_main, arguments(chain, tmp_path / "out", *file, *given)) == 0


def test_far_and_eer_are_chosen_on_the_split_beside_and_never_on_the_evaluated_one(chain, capsys, run, arguments):
    assert run(evaluate_main, arguments(chain, chain / "far", "--threshold", "far=0.05", "--threshold-per-size")) == 0
    report = json.loads((chain / "far" / "report.json").read_text())
    assert "then frozen" in report["threshold"]["origin"]
    kept, result = report["target_kept"][0], report["results"][0]
    before = report["threshold"]["development"][0]
    assert before["fmr"] <= 0.05 and f"one comparison in {round(1 / before['fmr'])} of two" in kept["text"]
    low, high = result["verification"]["at_threshold"]["fmr_interval"]
    held = "lies in the" if low <= 0.05 <= high else "more than" if low > 0.05 else "less than"
    assert held in kept["text"] and "the target of 5 %" in kept["text"]
    assert len({entry["threshold"] for entry in report["results"]}) > 5
    same = arguments(chain, chain / "x", "--threshold", "eer", "--development", chain / "test_processed")
    assert run(evaluate_main, same) == 2
    assert "evaluated split" in capsys.readouterr().err


def test_a_threshold_file_still_fits_when_the_weights_have_moved(chain, tmp_path, run, arguments):
    for name in ("original.pth", "finetuned.pth", "dsr.pth"):
        shutil.copy(chain / name, tmp_path / name)
    path, given = tmp_path / "threshold.json", [chain / "val_processed", "--target", "far=0.05", "--bootstrap", "0"]
    weights = arguments(tmp_path, chain / "unused")[8:14]
    assert run(choose_main, [*given, "--sizes", "8", "--out", path, *weights, "--cache", chain / "cache"]) == 0
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--threshold", f"@{path}")) == 0


def test_reports_and_foreign_embeddings_are_compared_in_pairs(chain, report_folder, run):
    store = FaceStore.open(chain / "test_processed")
    values = np.random.default_rng(0).normal(size=(len(store), 16)) + np.eye(16)[store.person] * 4
    np.savez(chain / "foreign.npz", names=np.array(list(store.images)), embeddings=values)
    given = [report_folder, chain / "foreign.npz", "--dataset-root", chain / "test_processed", "--bootstrap", "50"]
    assert run(compare_main, [*given, "--out", chain / "comparison"]) == 0
    rows = json.loads((chain / "comparison" / "comparison.json").read_text())["rows"]
    foreign = rows[-1]
    assert foreign["system"] == "foreign" and foreign["figures"]["eer"]["value"] < 0.2
    assert foreign["figures"]["eer"]["against"]["difference"] < 0


def test_files_that_cannot_be_compared_are_one_line(chain, report_folder, tmp_path, capsys, run):
    np.save(tmp_path / "array.npy", np.eye(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez_compressed(tmp_path / "damaged.npz", names=np.array(["a"]), embeddings=np.eye(1, 512))
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "damaged.npz").read_bytes()[:-40])
    (tmp_path / "empty.npz").touch()
    shutil.copytree(report_folder, tmp_path / "report")
    replicates = tmp_path / "report" / "replicates.npz"
    replicates.write_bytes(replicates.read_bytes()[:-200])
    for name, said in (
        ("array.npz", "array.npz: needs arrays names and embeddings"),
        ("damaged.npz", "damaged.npz: needs arrays names and embeddings"),
        ("empty.npz", "empty.npz: needs arrays names and embeddings"),
        ("report", "replicates.npz: damaged"),
    ):
        given = [report_folder, tmp_path / name, "--dataset-root", chain / "test_processed", "--out", tmp_path / "out"]
        assert run(compare_main, given) == 2
        assert said in capsys.readouterr().err


def test_full_size_alone_has_plots(chain, tmp_path, run, arguments):
    argv = [value for value in arguments(chain, tmp_path / "out", "--systems", "hr") if value != "--no-plots"]
    assert run(evaluate_main, argv) == 0
    assert {path.stem for path in (tmp_path / "out").glob("*.svg")} == {"roc", "det", "histograms"}


@pytest.fixture
def photographed(chain, tmp_path):
    """The evaluated split with a small photograph of each face, of various sizes."""
    root = tmp_path / "photographed"
    shutil.copytree(chain / "test_processed", root)
    store = FaceStore.open(root)
    for row, image in enumerate(store.images):
        write_png(root / "hr_images" / image, store.faces[row])
        write_png(root / "vlr_images" / image, store.faces[row][:: 6 + row % 2, :: 6 + row % 2])
    return root


def test_a_threshold_for_photographs_needs_a_split_that_has_some(
    chain, photographed, split_with_pairs, tmp_path, capsys, run, arguments
):
    pairs = pairs_csv(tmp_path / "pairs.csv", ["Eve", "Finn", "Gil"])
    base = ["--dataset-root", photographed, "--sizes", "8", "--systems", "bicubic", "--bootstrap", "0"]
    for more in (
        ["--threshold", "far=0.05", "--development", split_with_pairs],
        ["--pairs", pairs, "--pairs-threshold-from", split_with_pairs],
    ):
        assert run(evaluate_main, arguments(chain, tmp_path / "out", *base, *more)) == 2
        assert "other: has no photographs of low resolution" in capsys.readouterr().err
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *base)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [entry["size_px"] for entry in report["results"]] == [0, 8, 112]


def test_faces_without_a_photograph_are_left_out_where_others_have_one(
    chain, photographed, tmp_path, capsys, run, arguments
):
    """The figures are those of a split that has only the faces with a photograph."""
    kept, store = tmp_path / "kept", FaceStore.open(photographed)
    there = [image for image in store.images if image[:3] in ("Eve", "Fin", "Gil", "Hao") or image.endswith("/0.png")]
    for image in store.images:
        if image not in there:
            (photographed / "vlr_images" / image).unlink()
            continue
        for folder in ("hr_images", "vlr_images"):
            (kept / folder / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photographed / folder / image, kept / folder / image)
    base = ["--sizes", "8", "--systems", "bicubic", "--bootstrap", "20"]
    pairs = pairs_csv(tmp_path / "pairs.csv", ["Eve", "Finn", "Gil", "Ida"])
    for root, more in ((photographed, ["--pairs", pairs]), (kept, [])):
        assert (
            run(evaluate_main, arguments(chain, tmp_path / f"of_{root.name}", "--dataset-root", root, *base, *more))
            == 0
        )
    reports = [json.loads((tmp_path / f"of_{name}" / "report.json").read_text()) for name in ("photographed", "kept")]
    some, whole = (report["results"][0] for report in reports)
    assert some["size_px"] == whole["size_px"] == 0 and some["failed"] == 0 and reports[0]["failures"] == []
    assert reports[0]["data"]["views"]["0"] == f"vlr_images, of {len(there)} of {len(store)} faces"
    for name in ("genuines", "impostors", "auc", "interval_people"):
        assert some["verification"][name] == pytest.approx(whole["verification"][name], abs=1e-6)
    assert some["verification"]["at_threshold"]["fnmr"] == whole["verification"]["at_threshold"]["fnmr"]
    assert some["pairs"]["pairs"] == 6 + 5 and some["identification"]["mated"] == 12
    with (tmp_path / "of_photographed" / "scores.csv").open() as file:
        probes = {row["probe"] for row in csv.DictReader(file) if row["size_px"] == "0"}
    assert probes <= {image.removesuffix(".png") for image in there}
    for image in there:
        if not image.endswith("/0.png"):
            (photographed / "vlr_images" / image).unlink()
    assert run(evaluate_main, arguments(chain, tmp_path / "few", "--dataset-root", photographed, *base)) == 2
    assert "vlr_images: 10 images of 10 people, the most of one person 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--threshold", "1.5"], "give a number in [-1, 1]"),
        (["--threshold", "far=0"], "far=1e-3"),
        (["--threshold", "@nowhere.json"], "no such threshold file"),
        (["--sizes", "4"], "whole numbers from 6 to 64"),
        (["--sizes", "big"], "whole numbers from 6 to 64"),
        (["--dataset-root", "nowhere"], "no such folder"),
        (["--dsr", "nowhere.pth"], "no such super-resolver"),
        (["--gallery", "list.txt"], "go together"),
        (["--pairs", "nowhere.csv"], "no such list of pairs"),
        (["--threshold", "far=1e-6"], "not measurable"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(chain, tmp_path, capsys, more, message, run, arguments):
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out" / "report.json").exists()


def test_pairs_with_missing_images_list_them_all_in_a_file(chain, tmp_path, capsys, run, arguments):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("first,second,same,fold\nEve/0,Eve/1,1,1\nEve/0,Nobody/1,0,1\nEve/9.png,Finn/0,0,2\n")
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--pairs", pairs)) == 2
    assert "2 images are not among the faces" in capsys.readouterr().err
    assert (tmp_path / "out" / "missing_images.txt").read_text() == "Nobody/1\nEve/9.png\n"


def test_pair_lists_give_the_accuracy_over_folds_and_drop_repeated_pairs(chain, tmp_path, run, arguments):
    pairs = tmp_path / "pairs.csv"
    lines = [f"{name}/0,{name}/1.png,1,{n % 2 + 1}" for n, name in enumerate(["Eve", "Finn", "Gil", "Hao"])]
    lines += [
        f"{a}/0,{b}/0,0,{n % 2 + 1}" for n, (a, b) in enumerate([("Eve", "Finn"), ("Gil", "Hao"), ("Eve", "Ida")])
    ]
    pairs.write_text("\n".join(["first,second,same,fold", *lines, lines[0]]) + "\n")
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--pairs", pairs)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["protocol"]["pairs_repeated"] == 1
    assert report["results"][0]["pairs"]["pairs"] == 7 and len(report["results"][0]["pairs"]["folds"]) == 2
    tests = {entry["test"] for entry in report["differences"]}
    assert tests == {"paired bootstrap", "McNemar, exact"}


def pairs_csv(path, people, folds=1):
    """Write two genuine pairs a person and as many impostor ones."""
    same = [f"{name}/0,{name}/{n},1,{1 + place % folds}" for place, name in enumerate(people) for n in (1, 2)]
    other = [f"{a}/0,{b}/{n},0,{1 + place % folds}" for place, (a, b) in enumerate(pairwise(people)) for n in (0, 1)]
    path.write_text("\n".join(["first,second,same,fold", *same, *other]) + "\n")
    return path


def test_a_list_without_folds_is_judged_in_tenths(chain, tmp_path, run, arguments):
    people = ["Eve", "Finn", "Gil", "Hao", "Ida"]
    pairs = pairs_csv(tmp_path / "pairs.csv", people)
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--pairs", pairs)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    figures = report["results"][0]["pairs"]
    assert figures["pairs"] == 18 and len(figures["thresholds"]) == 10 and figures["sem"] is None
    low, high = figures["interval"]
    assert low <= figures["mean"] <= high
    assert "ten parts" in report["protocol"]["pairs_threshold"]


@pytest.fixture
def split_with_pairs(chain, tmp_path):
    """The development split with a list of pairs beside it."""
    shutil.copytree(chain / "val_processed", tmp_path / "other")
    pairs_csv(tmp_path / "other" / "pairs.csv", [f"dev {n}" for n in range(9)])
    return tmp_path / "other"


def test_pairs_are_judged_by_the_threshold_that_another_splits_pairs_choose(
    chain, split_with_pairs, tmp_path, run, arguments
):
    pairs = pairs_csv(tmp_path / "pairs.csv", ["Eve", "Finn", "Gil", "Hao", "Ida"])
    more = ["--pairs", pairs, "--pairs-threshold-from", split_with_pairs, "--systems", "bicubic,dsr+finetuned"]
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    store = FaceStore.open(split_with_pairs)
    rows = {name.removesuffix(".png"): number for number, name in enumerate(store.images)}
    with (split_with_pairs / "pairs.csv").open() as file:
        listed = [(rows[line["first"]], rows[line["second"]], line["same"] == "1") for line in csv.DictReader(file)]
    faces = torch.from_numpy(store.faces[np.arange(len(store))]).permute(0, 3, 1, 2).float() / 255
    gallery = Recognizer(EdgeFaceEmbedding(chain / "original.pth")).embed(faces)
    probes = Recognizer(EdgeFaceEmbedding(chain / "finetuned.pth"), load_dsr(chain / "dsr.pth")).embed(
        (shrink(faces, 8) * 255).round() / 255
    )
    scores = [float(gallery[first] @ probes[second]) for first, second, _ in listed]
    expected = best_threshold(np.array(scores), np.array([same for _, _, same in listed]))
    result = next(r for r in report["results"] if r["system"] == "dsr+finetuned" and r["size_px"] == 8)
    assert result["pairs"]["thresholds"] == [pytest.approx(expected, abs=1e-5)]
    assert result["pairs"]["pairs"] == 18 and result["pairs"]["sem"] is None
    low, high = result["pairs"]["interval"]
    assert low <= result["pairs"]["mean"] <= high
    assert "34 pairs" in report["protocol"]["pairs_threshold"]
    assert {r["system"] for r in report["results"]} == {"bicubic", "dsr+finetuned", "hr"}


def test_an_unseen_recogniser_searches_its_own_gallery(chain, tmp_path, run, arguments):
    more = ["--unseen", chain / "finetuned.pth", "--systems", "bicubic,dsr+unseen", "--bootstrap", "0"]
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {r["system"] for r in report["results"]} == {"bicubic", "dsr+unseen", "hr", "hr+unseen"}
    alone = ["--edgeface", chain / "finetuned.pth", "--systems", "dsr", "--bootstrap", "0"]
    assert run(evaluate_main, arguments(chain, tmp_path / "alone", *alone)) == 0
    other = json.loads((tmp_path / "alone" / "report.json").read_text())
    for first, second in (("dsr+unseen", "dsr"), ("hr+unseen", "hr")):
        figures = [
            {r["size_px"]: r["verification"]["auc"] for r in found["results"] if r["system"] == key}
            for found, key in ((report, first), (other, second))
        ]
        assert figures[0] == pytest.approx(figures[1], abs=1e-6)


def test_a_threshold_never_comes_from_the_evaluated_people(
    chain, split_with_pairs, tmp_path, capsys, run, arguments, make_split
):
    pairs = pairs_csv(tmp_path / "pairs.csv", ["Eve", "Finn", "Gil"])
    mixed = tmp_path / "mixed"
    make_split(mixed, ["dev 1", "dev 2", "Gil", "Hao"], 3)
    pairs_csv(mixed / "pairs.csv", ["dev 1", "dev 2"])
    for more, message in (
        (["--pairs-threshold-from", chain / "test_processed"], "evaluated split itself"),
        (["--pairs-threshold-from", mixed], "'Gil'"),
        (["--pairs-threshold-from", chain / "val_processed"], "no pairs.txt"),
        (["--threshold", "eer", "--development", mixed], "2 of its people are in"),
    ):
        assert run(evaluate_main, arguments(chain, tmp_path / "out", "--pairs", pairs, *more)) == 2
        assert message in capsys.readouterr().err


def test_only_the_network_that_changed_is_embedded_again(chain, tmp_path, monkeypatch, run, arguments):
    cache = tmp_path / "cache"
    assert run(evaluate_main, [*arguments(chain, tmp_path / "a"), "--cache", str(cache)]) == 0
    torch.manual_seed(5)
    save_finetuned(tmp_path / "other.pth", "edgeface_xxs", build("edgeface_xxs").state_dict(), {})
    embedded = []

    def record(networks, faces, chain):
        embedded.extend(networks.recognisers[name].source for name in chain.recognisers)
        return embed_faces(networks, faces, chain)

    monkeypatch.setattr("pipeline.evaluation.embedder.embed_faces", record)
    more = ["--cache", str(cache), "--finetuned", str(tmp_path / "other.pth")]
    assert run(evaluate_main, [*arguments(chain, tmp_path / "b"), *more]) == 0
    assert {Path(source).name for source in embedded} == {"other.pth"}


def test_the_package_lists_its_commands():
    result = subprocess.run([sys.executable, "-m", "pipeline"], capture_output=True, text=True, check=True)
    assert {"evaluate_dataset", "choose-threshold", "compare"} <= set(result.stdout.split())


@pytest.mark.parametrize("people", [["Ann"], ["Ann", "Bo"]])
def test_a_split_without_comparisons_is_named(people, make_split, arguments, chain, run, tmp_path, capsys):
    make_split(tmp_path / "few_processed", people, 3, images=1)
    code = run(evaluate_main, arguments(chain, tmp_path / "out", "--dataset-root", tmp_path / "few_processed"))
    assert code == 2 and f"few_processed: {len(people)} images of" in capsys.readouterr().err
