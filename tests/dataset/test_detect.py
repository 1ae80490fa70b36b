"""Faces are found where people marked them, and nowhere else."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.detect import DetectorError, FaceDetector, native_size_px
from dataset.photographs.image_files import read_image


def marked_photographs(folder: Path, step: int) -> list[tuple[Path, np.ndarray]]:
    with (folder / "landmarks.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(folder / row[0], np.array(row[1:], float).reshape(5, 2)) for row in rows[::step]]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    pytest.importorskip("onnxruntime")
    return FaceDetector()


def errors_px(detector: FaceDetector, marked: list[tuple[Path, np.ndarray]]) -> list[float]:
    """Distance of the landmarks of the nearest face found, mean over the five."""
    errors = []
    for path, landmarks in marked:
        faces = detector.detect(read_image(path))
        distances = [float(np.linalg.norm(face.landmarks - landmarks, axis=1).mean()) for face in faces]
        errors.append(min(distances, default=float("inf")))
    return errors


def test_every_tenth_photograph_has_its_face_within_three_pixels_in_the_median(
    shared: Path, detector: FaceDetector
) -> None:
    errors = errors_px(detector, marked_photographs(shared / "faces" / "lfw_raw", 10))
    assert np.isfinite(errors).all()
    assert np.median(errors) <= 3


@pytest.mark.slow
def test_999_in_1000_photographs_have_their_face_within_three_pixels_in_the_median(
    shared: Path, detector: FaceDetector
) -> None:
    errors = errors_px(detector, marked_photographs(shared / "faces" / "lfw_raw", 1))
    assert np.isfinite(errors).mean() >= 0.999
    assert np.median(errors) <= 3


def test_twenty_faces_in_one_picture_are_found_the_largest_first(shared: Path, detector: FaceDetector) -> None:
    tiles = [read_image(path) for path, _ in marked_photographs(shared / "faces" / "lfw_raw", 11)[:20]]
    tiles[7] = np.array(Image.fromarray(tiles[7]).resize((500, 500)))[125:375, 125:375]
    crowd = np.concatenate([np.concatenate(tiles[row * 5 : row * 5 + 5], axis=1) for row in range(4)])
    faces = detector.detect(crowd)
    assert len(faces) >= 20
    assert [face.size_px for face in faces] == sorted((face.size_px for face in faces), reverse=True)
    assert (faces[0].landmarks // 250 == [2, 1]).all()


def test_landmarks_of_a_reduced_photograph_are_those_of_the_original(shared: Path, detector: FaceDetector) -> None:
    path, landmarks = marked_photographs(shared / "faces" / "lfw_raw", 50)[0]
    large = np.array(Image.fromarray(read_image(path)).resize((2000, 2000), Image.Resampling.BICUBIC))
    found = FaceDetector(max_side_px=500).detect(large)[0].landmarks / 8
    assert np.linalg.norm(found - landmarks, axis=1).mean() <= 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (11, 11), (64, 64), (300, 200)])
def test_a_picture_without_a_face_has_none(detector: FaceDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector.detect(noise) == []


def test_a_minimum_under_the_window_of_the_first_network_is_refused() -> None:
    with pytest.raises(DetectorError, match=r"--min-size 8.*give crops"):
        FaceDetector(min_size_px=8)


def test_the_native_size_follows_the_scale_of_the_landmarks() -> None:
    template = np.array([[38.0, 51.0], [73.0, 51.0], [56.0, 71.0], [41.0, 92.0], [70.0, 92.0]])
    assert native_size_px(template / 7 + 40, template) == pytest.approx(16)
