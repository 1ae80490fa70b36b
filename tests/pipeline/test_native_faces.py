"""The size that a face really has, and what is kept of what was seen."""

import numpy as np
import pytest

from dataset.photographs.align import ARCFACE_TEMPLATE, align
from dataset.photographs.detect import DetectedFace
from dataset.photographs.seen_faces import FaceReader, shrink_face
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.published.native_faces import NativeFaces, NativeSize
from pipeline.published.published_set import PublishedSet, bands
from tests.pipeline.published_layouts import face


class Detector:
    """Finds the face that a picture's first row of pixels tells of: its side and the place of its corner."""

    looked = 0

    def __init__(self, *_, **__):
        pass

    def detect(self, image):
        Detector.looked += 1
        side, corner = image[0, 0, :2].tolist()
        if side == 0:
            return []
        points = (np.array(ARCFACE_TEMPLATE) + 0.5) * (side / 112) - 0.5 + corner
        return [DetectedFace((corner, corner, corner + side, corner + side), points, 0.9)]


def photograph(side, corner=10):
    picture = np.zeros((200, 200, 3), np.uint8)
    if side:
        picture[corner : corner + side, corner : corner + side] = face(side, 1, side)
    picture[0, 0] = (side, corner, 0)
    return picture


@pytest.fixture
def faces(monkeypatch, tmp_path):
    monkeypatch.setattr("dataset.photographs.seen_faces.FaceDetector", Detector)
    pictures = [photograph(20), photograph(80), photograph(0), face(3, 1, 16)]
    pictures[3][0, 0] = 0
    names = ["small", "large", "none", "crop"]
    source = PublishedSet("some", names, pictures.__getitem__, "key", [])

    def look(native=None, how=""):
        return NativeFaces(source, FaceReader(), native or NativeSize("file"), how, EmbeddingCache(tmp_path / "cache"))

    return pictures, look


def test_a_face_that_the_detector_finds_is_aligned_and_has_its_own_size(faces):
    pictures, look = faces
    seen = look()
    assert seen.size_px.tolist() == [20, 80, 0, 16]
    small, large, none, crop = seen.views(np.arange(4), 0)
    points = [(np.array(ARCFACE_TEMPLATE) + 0.5) * (side / 112) - 0.5 + 10 for side in (20, 80)]
    for found, expected in (
        (small, shrink_face(align(pictures[0], points[0]), 20)),
        (large, align(pictures[1], points[1])),
    ):
        assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 2
    assert none is None and np.array_equal(crop, pictures[3])
    assert seen.taken == {"found and aligned": 2, "crop (the detector finds no face in it)": 1}
    assert list(seen.failures) == ["none"] and "no face of 20 px or more found" in seen.failures["none"]


def test_what_was_seen_is_kept_and_what_failed_says_why_once_more(faces):
    _, look = faces
    first = look()
    looked = Detector.looked
    again = look()
    assert Detector.looked == looked + 1  # the picture without a face
    assert again.size_px.tolist() == first.size_px.tolist() and again.failures == first.failures
    look(how="another reader")
    assert Detector.looked > looked + 1


def test_a_smaller_size_is_made_of_the_aligned_face(faces):
    seen = faces[1]()
    shapes = [None if each is None else each.shape[0] for each in seen.views(np.arange(4), 18)]
    assert shapes == [18, 18, None, 16]


def test_what_is_said_of_the_size_counts_before_what_the_picture_has(faces):
    seen = faces[1](NativeSize(listed={"large": 14, "crop": 60}))
    assert seen.size_px.tolist() == [20, 14, 0, 16]
    assert seen.views(np.array([1]), 0)[0].shape == (14, 14, 3)


def test_bands_of_sizes_hold_every_face_once():
    sizes = np.arange(6, 120)
    found = bands(sizes)
    assert [name for name, _ in found][:2] + [found[-1][0]] == ["up to 8 px", "9 to 12 px", "over 64 px"]
    assert np.sum([chosen for _, chosen in found], axis=0).tolist() == [1] * len(sizes)
    assert [name for name, _ in bands(np.array([0, 9, 0]))] == ["not read", "9 to 12 px"]
    assert sizes[found[4][1]].tolist() == list(range(25, 33))
