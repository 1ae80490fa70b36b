"""Faces found and aligned, crops left as they are, and which was which."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE, displacement
from dataset.photographs.detect import FaceDetector
from dataset.photographs.image_files import read_image
from dataset.photographs.seen_faces import FaceReader, PhotographError, Taken, is_aligned

TEMPLATE = np.array(ARCFACE_TEMPLATE)
PEOPLE = 14


def resized(image: Image.Image, side: int) -> np.ndarray:
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def photographs(shared: Path) -> list[Image.Image]:
    """Pictures with margins, 250x250 with a face of about 127."""
    files = sorted((shared / "faces" / "lfw_raw").glob("*/*_0001.jpg"))[:PEOPLE]
    return [Image.fromarray(read_image(path)) for path in files]


@pytest.fixture(scope="module")
def crops(shared: Path) -> list[Image.Image]:
    """Aligned faces."""
    people = sorted(path.name for path in (shared / "faces" / "lfw_raw").iterdir() if path.is_dir())[:PEOPLE]
    files = [next((shared / "faces" / "lfw" / name).glob("*.jpg")) for name in people]
    return [Image.fromarray(read_image(path)) for path in files]


@pytest.mark.parametrize("side", [112, 60, 45])
def test_small_photographs_with_margins_are_looked_at_and_aligned(photographs: list[Image.Image], side: int) -> None:
    reader = FaceReader()
    faces = [reader.find(resized(image, side), "photograph")[0] for image in photographs]
    assert reader.counts == {Taken.FOUND: PEOPLE} and reader.summary() == f"pictures: {PEOPLE} found and aligned"
    assert all(0.4 * side < face.size_px < 0.65 * side and face.box is not None for face in faces)
    if side == 45:  # a face of some 23 px is no larger than it was
        assert all(face.pixels.shape[0] == face.size_px for face in faces)


@pytest.mark.parametrize("side", [112, 64, 32, 24, 16, 12])
def test_aligned_crops_of_any_size_stay_as_they_are(crops: list[Image.Image], side: int) -> None:
    reader = FaceReader()
    for image in crops:
        picture = resized(image, side)
        (face,) = reader.find(picture, "crop")
        assert face.taken in (Taken.ALIGNED, Taken.NO_FACE) and np.array_equal(face.pixels, picture)
    assert reader.counts[Taken.ALIGNED] >= PEOPLE - 1 or side <= 16


@pytest.mark.parametrize("seen", [8, 12, 16, 24, 32])
def test_aligned_crops_that_were_enlarged_stay_as_they_are(crops: list[Image.Image], seen: int) -> None:
    reader = FaceReader()
    for image in crops:
        picture = resized(Image.fromarray(resized(image, seen)), 112)
        assert np.array_equal(reader.find(picture, "crop")[0].pixels, picture)


def test_nothing_is_looked_for_in_what_the_user_says_is_a_crop(photographs: list[Image.Image]) -> None:
    reader = FaceReader(crops=True)
    picture = resized(photographs[0], 160)
    (face,) = reader.find(picture, "photograph")
    assert face.pixels is picture and face.place()["taken"] == "crop (--crops)" and str(face) == "160 px, crop"


def test_without_a_detector_small_pictures_are_crops_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reader = FaceReader()
    reader.find(np.zeros((60, 60, 3), np.uint8), "crop")
    assert reader.summary() == "pictures: 1 crop (no detector is installed to look)"


def test_pictures_of_the_size_of_prepared_faces_are_none_to_look_at_where_it_is_said(
    photographs: list[Image.Image],
) -> None:
    reader, picture = FaceReader(prepared=True), resized(photographs[0], 112)
    assert reader.find(picture, "face")[0].pixels is picture
    reader.find(resized(photographs[0], 111), "photograph")
    assert reader.summary() == "pictures: 1 found and aligned, 1 crop (112x112)"


def test_an_empty_large_picture_is_refused_with_the_way_out() -> None:
    with pytest.raises(PhotographError, match="no face of 20 px or more found; leave it out, or say with --crops"):
        FaceReader().find(np.full((200, 200, 3), 90, np.uint8), "sky.png")


def test_the_template_itself_is_nowhere_displaced_and_half_the_size_is() -> None:
    assert displacement(TEMPLATE, 112, 112) == pytest.approx(0, abs=1e-9)
    assert displacement((TEMPLATE + 0.5) / 2 - 0.5, 56, 56) == pytest.approx(0, abs=1e-9)
    # Half as large around the middle of the picture: points stand twice as far from it, in pixels of the face.
    middle = 55.5
    spread = float(np.sqrt(np.square(TEMPLATE - middle).sum(axis=1).mean()))
    assert displacement((TEMPLATE - middle) / 2 + middle, 112, 112) == pytest.approx(spread, rel=1e-9)
    assert displacement(TEMPLATE + (3, -4), 112, 112) == pytest.approx(5, rel=1e-9)


def test_what_an_enlarged_picture_shows_is_judged_less_sharply() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    blurred = resized(Image.fromarray(resized(Image.fromarray(sharp), 8)), 112)
    assert not is_aligned(sharp, TEMPLATE + (12, 0)) and is_aligned(blurred, TEMPLATE + (12, 0))
    assert is_aligned(sharp, TEMPLATE + (7, 0)) and not is_aligned(blurred, TEMPLATE + (18, 0))
    assert not is_aligned(sharp, np.ones((5, 2)))


def test_the_detector_looks_for_no_less_than_its_window() -> None:
    assert FaceDetector(12).detect(np.zeros((8, 8, 3), np.uint8)) == []
