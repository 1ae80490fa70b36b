"""Any number of files and folders on the command line; several photographs of one person to one answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.photograph_folders import FolderError
from pipeline.enroll import EnrollConfig, enroll
from pipeline.identify import IdentifyConfig, identify
from pipeline.identify import main as identify_main
from pipeline.recognition.fusion import fuse, moment_shares
from pipeline.recognition.photographs import photograph_files
from pipeline.verify import VerifyConfig, verify


def crop(seed: int, side: int = 112) -> Image.Image:
    """A blurry pattern that stands for an aligned face."""
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("Ann", "Bo")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for photograph, side in enumerate((112, 40, 16)):
            crop(number, side).save(folder / f"{photograph}.png")
    return tmp_path / "photos"


@pytest.fixture
def gallery(photos: Path, tmp_path: Path, onnx_model: Path) -> Path:
    path = tmp_path / "people.gallery"
    assert enroll(EnrollConfig(gallery=path, photos=[photos], model=onnx_model)) == 0
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_files_and_folders_are_taken_in_order_and_each_once(photos: Path) -> None:
    one = photos / "Bo" / "1.png"
    found = photograph_files([one, photos / "Ann", photos / "Bo"])
    assert list(found.files)[0] == one and len(found) == 6 and found.files[one] == one
    assert [len(files) for files in found.people()] == [1, 3, 2]
    with pytest.raises(FolderError, match="no such file or folder"):
        photograph_files([one, photos / "none"])


def test_a_glob_on_the_command_line_is_answered_photograph_by_photograph(
    photos: Path, gallery: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    files = [str(path) for path in sorted((photos / "Ann").iterdir())]
    with pytest.raises(SystemExit) as stopped:
        identify_main([str(gallery), *files, "--model", str(onnx_model), "--threshold", "0.1"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and "photographs 3, failed 0; faces named 3" in out


def test_folders_of_enrolled_people_are_enrolled_from_several_places(
    photos: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = tmp_path / "more" / "Cy"
    more.mkdir(parents=True)
    crop(7).save(more / "one.png")
    places = [photos, tmp_path / "more"]
    assert enroll(EnrollConfig(gallery=tmp_path / "g", photos=places, model=onnx_model)) == 0
    assert "7 of 7 photographs enrolled" in capsys.readouterr().out


def test_photographs_together_get_one_answer_and_each_folder_its_own(
    photos: Path, gallery: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    (photos / "Ann" / "bad.png").write_bytes(b"no picture")
    config = IdentifyConfig(
        gallery=gallery,
        photos=[photos / "Ann", photos / "Bo"],
        model=onnx_model,
        threshold="0.1",
        together=True,
        json_lines=True,
    )
    assert identify(config) == 1
    failure, ann, bo = lines(capsys)
    assert "bad.png" in str(failure["error"])
    assert (ann["person"], bo["person"]) == ("Ann", "Bo")
    assert [len(answer["faces"]) for answer in (ann, bo)] == [3, 3] and len(ann["photographs"]) == 4
    assert all(16 <= answer["size_px"] <= 112 and 1 <= answer["moments"] <= 3 for answer in (ann, bo))


def test_together_without_a_face_there_is_no_answer(
    photos: Path, gallery: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    capsys.readouterr()
    asked = {"gallery": gallery, "photos": [tmp_path / "bad.png"], "model": onnx_model, "threshold": "0.1"}
    assert identify(IdentifyConfig(**asked, together=True)) == 1
    assert "photographs 1, failed 1; people named 0, unknown 0" in capsys.readouterr().out
    one = photos / "Ann" / "0.png"
    assert verify(VerifyConfig(first=tmp_path / "bad.png", others=[one], model=onnx_model)) == 1
    assert "same person" not in capsys.readouterr().out


def test_others_are_compared_each_or_together(
    photos: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"first": photos / "Ann", "others": [photos / "Ann" / "0.png", photos / "Bo"], "model": onnx_model}
    assert verify(VerifyConfig(**asked, as_json=True)) == 0
    assert len(lines(capsys)) == 4
    assert verify(VerifyConfig(**asked, together=True, as_json=True)) == 0
    one, bo = lines(capsys)
    assert [len(side) for side in bo["faces"]] == [3, 3] and [len(side) for side in one["faces"]] == [3, 1]
    assert one["score"] > bo["score"]


def unit(*rows: list[float]) -> np.ndarray:
    values = np.array(rows, np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_copies_of_one_moment_have_one_voice() -> None:
    once = fuse(unit([1, 0, 0], [0, 1, 0]), np.array([8, 8]))
    often = fuse(unit([1, 0, 0], [1, 0, 0.01], [1, 0.01, 0], [0, 1, 0]), np.array([8, 8, 8, 8]))
    assert np.allclose(once.embedding, often.embedding, atol=0.01)
    assert (often.frames, round(often.moments, 5)) == (4, 2)
    assert moment_shares(unit([1, 0], [0, 1])).tolist() == [1, 1]


def test_one_face_alone_stays_as_it_is() -> None:
    alone = unit([3, 4])
    fused = fuse(alone, np.array([9]))
    assert np.allclose(fused.embedding, alone[0]) and (fused.size_px, fused.frames, fused.moments) == (9, 1, 1)
