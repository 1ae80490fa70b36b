from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.photographs.image_files import read_image
from dataset.photographs.seen_faces import FaceReader
from dsr.dsr_file import save_dsr
from dsr.network import DSR
from dsr.upscale import main, restore


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    model = DSR("small")
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    save_dsr(tmp_path / "best.pth", model, {})
    return str(tmp_path / "best.pth")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def picture(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).convert(mode).save(path)
    return path


def test_a_folder_keeps_its_shape_and_any_size_and_mode_becomes_112(tmp_path: Path, weights: str) -> None:
    picture(tmp_path / "in" / "a/x.png", (8, 8), "RGB")
    picture(tmp_path / "in" / "b/y.png", (16, 20), "L")
    picture(tmp_path / "in" / "z.png", (40, 40), "RGBA")
    picture(tmp_path / "in" / "w.png", (300, 200), "RGB")
    assert call(str(tmp_path / "in"), str(tmp_path / "out"), "--dsr", weights, "--device", "cpu", "--crops") == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a/x.png", "b/y.png", "w.png", "z.png"]
    assert {read_image(tmp_path / "out" / name).shape for name in found} == {(112, 112, 3)}


def test_faces_are_found_and_aligned_first_and_crops_stay_as_they_are(
    shared: Path, tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = Image.open(sorted((shared / "faces/lfw_raw").glob("*/*_0001.jpg"))[0])
    (tmp_path / "in").mkdir()
    photograph.save(tmp_path / "in/large.png")
    photograph.resize((60, 60), Image.Resampling.BICUBIC).save(tmp_path / "in/small.png")
    picture(tmp_path / "in/crop.png", (16, 16))
    picture(tmp_path / "in/nobody.png", (200, 200))
    assert call(str(tmp_path / "in"), str(tmp_path / "out"), "--dsr", weights, "--device", "cpu") == 1
    printed = capsys.readouterr()
    assert "pictures: 2 found and aligned, 1 crop (the detector finds no face in it)" in printed.out
    assert "nobody.png: no face of 20 px or more found" in printed.err
    large, small = (read_image(tmp_path / f"out/{name}.png").astype(int) for name in ("large", "small"))
    (face,) = FaceReader().read(tmp_path / "in/large.png")
    assert np.abs(large - face.pixels).max() <= 1 and np.abs(large - small).mean() < 25


def test_a_damaged_file_is_named_and_the_others_go_on(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "in" / "good.png", (8, 8))
    (tmp_path / "in" / "bad.png").write_bytes(b"not an image")
    assert call(str(tmp_path / "in"), str(tmp_path / "out"), "--dsr", weights, "--device", "cpu") == 1
    assert "bad.png" in capsys.readouterr().err and (tmp_path / "out" / "good.png").exists()


def test_files_already_there_are_not_replaced_unasked(tmp_path: Path, weights: str) -> None:
    source = picture(tmp_path / "a.png", (8, 8))
    target = tmp_path / "b.png"
    target.write_bytes(b"precious")
    assert call(str(source), str(target), "--dsr", weights, "--device", "cpu") == 2
    assert target.read_bytes() == b"precious"
    assert call(str(source), str(target), "--dsr", weights, "--device", "cpu", "--overwrite") == 0
    assert read_image(target).shape == (112, 112, 3)


def test_an_empty_folder_and_a_missing_path_are_refused(tmp_path: Path, weights: str) -> None:
    (tmp_path / "empty").mkdir()
    assert call(str(tmp_path / "empty"), str(tmp_path / "out"), "--dsr", weights) == 2
    assert call(str(tmp_path / "none"), str(tmp_path / "out"), "--dsr", weights) == 2
    assert not (tmp_path / "out").exists()


def test_faces_above_32_px_skip_the_network(weights: str) -> None:
    model = DSR("small")
    torch.nn.init.normal_(model.tail.weight, std=0.5)
    large, small = torch.rand(1, 3, 33, 33), torch.rand(1, 3, 32, 32)
    plain = torch.nn.functional.interpolate(large, (112, 112), mode="bicubic").clamp(0, 1)
    torch.testing.assert_close(restore(model, large), plain)
    changed = torch.nn.functional.interpolate(small, (112, 112), mode="bicubic").clamp(0, 1)
    assert not torch.allclose(restore(model, small), changed)
