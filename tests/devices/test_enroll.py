"""From photographs to names: enrol, identify, verify, and pictures that are none."""

import io
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.image_files import read_image
from dataset.photographs.photograph_folders import FolderError
from pipeline.enroll import EnrollConfig, enroll
from pipeline.gallery import GalleryConfig, gallery
from pipeline.identify import IdentifyConfig, identify
from pipeline.recognition.gallery_store import Gallery, GalleryError
from pipeline.recognition.onnx_recognizer import OnnxModelError
from pipeline.verify import VerifyConfig, verify


def crop(seed: int, side: int = 112) -> Image.Image:
    """A blurry pattern that stands for an aligned face."""
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for number, name in enumerate(("Zoë", "李雷", "Ann O'Neill")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        crop(number).save(folder / "one.png")
        crop(number, 16).save(folder / "two.png")
    return tmp_path / "photos"


def test_people_are_enrolled_once_and_found_again(
    people: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.gallery"
    assert enroll(EnrollConfig(gallery=path, photos=[people], model=onnx_model)) == 0
    assert "6 of 6 photographs enrolled" in capsys.readouterr().out
    assert enroll(EnrollConfig(gallery=path, photos=[people], model=onnx_model)) == 0
    assert "0 of 6 photographs enrolled, 6 were there already" in capsys.readouterr().out
    probe = people / "李雷" / "one.png"
    assert (
        identify(IdentifyConfig(gallery=path, photos=[probe], model=onnx_model, threshold="0.5", json_lines=True)) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["person"] == "李雷" and answer["margin"] > 0


def test_below_the_threshold_nobody_is_named(
    people: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.gallery"
    enroll(EnrollConfig(gallery=path, photos=[people], model=onnx_model))
    crop(77).save(tmp_path / "stranger.png")
    config = IdentifyConfig(gallery=path, photos=[tmp_path / "stranger.png"], model=onnx_model, threshold="1.0")
    assert identify(config) == 0
    assert "unknown (nearest" in capsys.readouterr().out


def test_the_same_face_is_verified(people: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = people / "Zoë" / "one.png"
    verify(VerifyConfig(first=one, others=[one], model=onnx_model))
    assert capsys.readouterr().out.startswith(f"{one}: same person, 1.000")


def test_a_threshold_for_a_gallery_that_has_another_is_refused(people: Path, tmp_path: Path, onnx_model: Path) -> None:
    path = tmp_path / "people.gallery"
    Gallery.create(path, "f" * 64, 0.3)
    with pytest.raises(GalleryError, match=r"its threshold is 0.3, --threshold 0.5 is for a new gallery"):
        enroll(EnrollConfig(gallery=path, photos=[people], model=onnx_model, threshold=0.5))
    assert enroll(EnrollConfig(gallery=path, photos=[people / "Zoë"], name="Z", model=onnx_model, threshold=0.3)) == 0


def test_a_model_without_a_threshold_asks_for_one(people: Path, tmp_path: Path, undecided_model: Path) -> None:
    path, one = tmp_path / "people.gallery", people / "Zoë" / "one.png"
    with pytest.raises(OnnxModelError, match="holds no threshold.*pass --threshold"):
        enroll(EnrollConfig(gallery=path, photos=[people], model=undecided_model))
    assert not path.exists()
    with pytest.raises(OnnxModelError, match="pass --threshold"):
        verify(VerifyConfig(first=one, others=[one], model=undecided_model))
    verify(VerifyConfig(first=one, others=[one], model=undecided_model, threshold="0.5"))
    assert enroll(EnrollConfig(gallery=path, photos=[people], model=undecided_model, threshold=0.5)) == 0


def test_a_gallery_is_listed_exported_and_emptied(
    people: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, records = tmp_path / "people.gallery", tmp_path / "records.json"
    enroll(EnrollConfig(gallery=path, photos=[people], model=onnx_model))
    gallery(GalleryConfig("remove", path, name="Zoë"))
    gallery(GalleryConfig("list", path))
    assert "2 people, 4 photographs" in capsys.readouterr().out
    gallery(GalleryConfig("export", path, out=records, templates=True))
    assert sorted(json.loads(records.read_text(encoding="utf-8"))["templates"]) == ["Ann O'Neill", "李雷"]
    assert os.name == "nt" or records.stat().st_mode & 0o777 == 0o600


def test_a_gallery_of_another_model_is_refused(people: Path, tmp_path: Path, onnx_model: Path) -> None:
    Gallery.create(tmp_path / "other.gallery", "0" * 64, 0.3)
    with pytest.raises(GalleryError, match="made with model"):
        enroll(EnrollConfig(gallery=tmp_path / "other.gallery", photos=[people], model=onnx_model))


def png_bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


BAD = {
    "zero.jpg": b"",
    "cut.jpg": encoded(crop(1, 300), "JPEG")[:900],
    "bomb.png": png_bomb(),
    "one-pixel.png": encoded(crop(1, 1), "PNG"),
    "wide.png": encoded(crop(1, 20).resize((20_000, 1)), "PNG"),
    "text.jpg": b"this is no picture",
    "no-face.png": encoded(Image.new("RGB", (300, 300), "grey"), "PNG"),
}
PASSED_OVER = {
    "photo.HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
}
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010E] = 6, "x" * 60_000
GOOD = {
    "sixteen-bit.png": encoded(Image.fromarray((np.arange(96 * 96, dtype=np.uint16) * 7).reshape(96, 96)), "PNG"),
    "palette.png": encoded(crop(2, 64).quantize(16), "PNG"),
    "cmyk.jpg": encoded(crop(3, 64).convert("CMYK"), "JPEG"),
    "animated.gif": encoded(crop(4, 64), "GIF", save_all=True, append_images=[crop(5, 64)]),
    "animated.webp": encoded(crop(4, 64), "WEBP", save_all=True, append_images=[crop(5, 64)]),
    "huge-exif-rotated.jpg": encoded(crop(6, 64), "JPEG", exif=EXIF),
}


def test_each_bad_picture_is_one_line_and_the_rest_goes_on(
    tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos" / "Ann"
    folder.mkdir(parents=True)
    for name, content in (BAD | GOOD | PASSED_OVER).items():
        (folder / name).write_bytes(content)
    config = EnrollConfig(gallery=tmp_path / "g.gallery", photos=[tmp_path / "photos"], model=onnx_model)
    assert enroll(config) == 1
    printed = capsys.readouterr()
    assert "passed over 1 .heic, 1 .svg; photographs in .heic are not read, convert them" in printed.err
    lines = printed.out.splitlines()
    failed = {line.split("Ann/")[1].split(":")[0] for line in lines if line.startswith("failed: ")}
    assert failed == set(BAD)
    assert len(lines) == len(BAD) + len(GOOD) + 1
    assert f"{len(GOOD)} of {len(BAD) + len(GOOD)} photographs enrolled" in lines[-1]
    assert f"{len(BAD)} failed" in lines[-1]


def test_the_largest_face_of_a_crowd_is_enrolled_and_half_a_face_is_no_traceback(
    shared: Path, tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [read_image(path) for path in sorted((shared / "faces" / "lfw_raw").glob("*/*_0001.jpg"))[:20]]
    crowd = np.concatenate([np.concatenate(pictures[row * 5 : row * 5 + 5], axis=1) for row in range(4)])
    folder = tmp_path / "photos" / "crowd"
    folder.mkdir(parents=True)
    Image.fromarray(crowd).save(folder / "twenty.png")
    Image.fromarray(pictures[0][:, :125]).save(folder / "half.png")
    config = EnrollConfig(gallery=tmp_path / "g.gallery", photos=[tmp_path / "photos"], model=onnx_model)
    assert enroll(config) in (0, 1)
    out = capsys.readouterr().out
    assert "twenty.png: enrolled as crowd" in out and "the largest of" in out


def test_a_photograph_of_nobody_in_particular_is_asked_about(
    tmp_path: Path, onnx_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crop(1).save(tmp_path / "face.png")
    config = EnrollConfig(gallery=tmp_path / "g.gallery", photos=[tmp_path / "face.png"], model=onnx_model)
    assert enroll(config) == 1
    assert "whose face?" in capsys.readouterr().out


def test_an_empty_folder_is_an_error(tmp_path: Path, onnx_model: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(FolderError, match="no images"):
        enroll(EnrollConfig(gallery=tmp_path / "g.gallery", photos=[tmp_path / "none"], model=onnx_model))
