"""`--protocol ijbc`: templates of aligned faces, from the files to the report."""

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.align import align
from tests.pipeline.published_layouts import build_ijbc


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("ijb") / "IJBC"
    return root, *build_ijbc(root)


def naive_template(faces, embedded):
    """One medium after the other: the mean of its faces by the detector's score; their sum, of length 1."""
    total = 0
    for medium in sorted({medium for *_, medium, _ in faces}):
        rows = []
        for picture, five, _, own, score in faces:
            if own == medium:
                pixels = align(picture, five)
                native = round(np.ptp(five[:2, 0]) / (73.5318 - 38.2946) * 112)
                if native <= 32:
                    pixels = np.asarray(Image.fromarray(pixels).resize((native, native), Image.Resampling.BICUBIC))
                rows.append(score * embedded(pixels))
        total = total + np.mean(rows, axis=0)
    return total / np.linalg.norm(total)


def test_templates_are_compared_at_the_size_of_each_face(built, evaluate, embedded, tmp_path):
    root, rows, pairs = built
    report = evaluate("ijbc", root, tmp_path / "out", "--native-size", "file")
    numbers = sorted({row[2] for row in rows})
    templates = {number: naive_template([row for row in rows if row[2] == number], embedded) for number in numbers}
    scores = np.array([templates[one] @ templates[other] for one, other, _ in pairs])
    same = np.array([label == 1 for *_, label in pairs])
    found = {row["group"]: row for row in report["results"]}
    genuine, impostor = scores[same], scores[~same]
    for far in (1e-1, 1e-2, 1e-3):
        accepted = int(far * len(impostor) + 1e-9)
        fitting = [t for t in scores if (impostor >= t).sum() <= accepted]
        expected = pytest.approx((genuine >= min(fitting)).mean()) if accepted else None
        assert found["all"][f"tar@far={far:g}"] == expected
    assert found["all"]["genuine_mean"] == pytest.approx(genuine.mean(), abs=1e-3)
    assert found["all"]["impostor_mean"] == pytest.approx(impostor.mean(), abs=1e-3)
    assert sum(row["count"] for group, row in found.items() if group != "all") == len(pairs)
    assert report["taken"] == {"aligned by listed landmarks": len(rows)}
    assert {"17 to 24 px", "25 to 32 px", "over 64 px"} <= set(report["native_px"])


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("ijbc_template_pair_label.txt", lambda text: text + "1000 7 1\n", "template 7 has no face"),
        ("ijbc_template_pair_label.txt", lambda text: text.replace(" 0\n", " 2\n"), "a label is neither 1 nor 0"),
        ("ijbc_template_pair_label.txt", lambda text: "1000 1001\n", "2 numbers a line, 3 are expected"),
        ("ijbc_template_pair_label.txt", lambda text: text + "a b c\n", "3 numbers a line are expected"),
        ("ijbc_face_tid_mid.txt", lambda text: text.replace("1.jpg", "one.jpg", 1), "its names are not those of"),
        ("ijbc_face_tid_mid.txt", lambda text: text.replace(" 1000 ", " 1000.5 "), "is no whole number"),
        ("ijbc_name_5pts_score.txt", lambda text: text.replace(" ", " x", 1), "11 numbers"),
        ("ijbc_name_5pts_score.txt", lambda text: "1.jpg 3 4\n", "line 1: '1.jpg 3 4' is no name and 11 numbers"),
        ("ijbc_name_5pts_score.txt", lambda text: "", "an empty list"),
    ],
)
def test_lists_that_do_not_fit_are_refused(built, evaluate, tmp_path, capsys, name, change, said):
    path = built[0] / "meta" / name
    whole = path.read_text()
    path.write_text(change(whole))
    try:
        evaluate("ijbc", built[0], tmp_path / "out", code=2)
    finally:
        path.write_text(whole)
    error = capsys.readouterr().err
    assert said in error and path.name in error and len(error.splitlines()) == 1


def test_an_image_that_is_not_there_is_told_before_the_work(built, evaluate, tmp_path, capsys):
    image = built[0] / "loose_crop" / "2.jpg"
    content = image.read_bytes()
    image.unlink()
    evaluate("ijbc", built[0], tmp_path / "out", code=2)
    image.write_bytes(content)
    assert "the first is '2.jpg'; unpack them all there" in capsys.readouterr().err
