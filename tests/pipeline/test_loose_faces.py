"""Splits of images without a store: faces that are not aligned, or not what their folder says, are refused."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from pipeline.choose_threshold import main as choose_main
from pipeline.compare import main as compare_main
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation.faces import open_split


def picture(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


def loose(root, size_of):
    """Write two people with two images each; `size_of` a number gives its size."""
    for number in range(4):
        picture(root / f"hr_images/p{number // 2}/{number}.png", size_of(number), number)
    return root


def refused(run, capsys, main, argv):
    capsys.readouterr()
    assert run(main, argv) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize(
    ("size_of", "said"),
    [
        (lambda number: (250, 250), "4 of 4 images are no aligned faces of 112x112, the first is p0/0.png of 250x250"),
        (
            lambda number: (112, 112 + number // 3),
            "1 of 4 images are no aligned faces of 112x112, the first is p1/3.png",
        ),
        (
            lambda number: (90 + number, 112),
            "4 of 4 images are no aligned faces of 112x112, the first is p0/0.png of 90",
        ),
    ],
)
def test_images_that_are_no_aligned_faces_are_refused_with_the_way_to_align_them(
    chain, tmp_path, capsys, run, arguments, size_of, said
):
    root = loose(tmp_path / "loose", size_of)
    evaluate = arguments(chain, tmp_path / "out", "--dataset-root", root)
    other = ("--threshold", "far=0.05", "--development", root)
    choose = [root, "--out", tmp_path / "t.json", *arguments(chain, tmp_path / "unused")[6:12]]
    for main, argv in (
        (evaluate_main, evaluate),
        (evaluate_main, arguments(chain, tmp_path / "out", *other)),
        (evaluate_main, arguments(chain, tmp_path / "out", "--distractors", root)),
        (choose_main, choose),
    ):
        line = refused(run, capsys, main, argv)
        assert f"{root}/hr_images: {said}" in line
        assert f"align them with python -m dataset prepare {root}/hr_images --out FOLDER" in line
    assert not (tmp_path / "out/report.json").exists() and not (tmp_path / "t.json").exists()


def test_a_comparison_of_embeddings_takes_images_of_any_size(tmp_path, capsys, run):
    root = loose(tmp_path / "loose", lambda number: (250, 200 + number))
    names = [f"p{number // 2}/{number}" for number in range(4)]
    values = np.random.default_rng(0).standard_normal((2, 4, 8))
    files = []
    for name, rows in zip("ab", values / np.linalg.norm(values, axis=2, keepdims=True), strict=True):
        files.append(tmp_path / f"{name}.npz")
        np.savez(files[-1], names=names, embeddings=rows.astype(np.float32))
    out = tmp_path / "out"
    assert run(compare_main, [*files, "--dataset-root", root, "--out", out, "--bootstrap", "20"]) == 0
    assert len(json.loads((out / "comparison.json").read_text())["rows"]) == 2


@pytest.mark.parametrize("size", [(24, 24), (16, 12)])
def test_a_low_resolution_image_of_another_size_than_its_folders_is_refused(
    chain, tmp_path, capsys, run, arguments, size
):
    root = loose(tmp_path / "loose", lambda number: (112, 112))
    for number in range(4):
        picture(root / f"vlr_images/16px/p{number // 2}/{number}.png", size if number == 3 else (16, 16), number)
    line = refused(run, capsys, evaluate_main, arguments(chain, tmp_path / "out", "--dataset-root", root))
    assert f"vlr_images/16px/p1/3.png: {size[0]}x{size[1]} in the folder of 16 px; mend or remove it" in line


def test_a_loose_image_that_cannot_be_read_is_listed_and_the_rest_is_evaluated(chain, tmp_path, run, arguments):
    root = loose(tmp_path / "loose", lambda number: (112, 112))
    (root / "hr_images/p0/dead.png").symlink_to("nowhere")
    os.mkfifo(root / "hr_images/p1/pipe.png")
    (root / "hr_images/p1/empty.png").write_bytes(b"")
    for number in range(4):
        picture(root / f"vlr_images/16px/p{number // 2}/{number}.png", (16, 16), number)
    (root / "vlr_images/16px/p0/dead.png").symlink_to("nowhere")
    assert len(open_split(root)) == 7
    assert run(evaluate_main, arguments(chain, tmp_path / "out", "--dataset-root", root, "--systems", "bicubic")) == 0
    failures = json.dumps(json.loads((tmp_path / "out/report.json").read_text())["failures"])
    for said in ("a link that leads nowhere", "a pipe, no picture", "empty file (0 bytes)"):
        assert said in failures
