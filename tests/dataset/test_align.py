import csv
import itertools

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE, AlignError, OutsideError, align
from dataset.photographs.image_files import read_image

TEMPLATE = np.array(ARCFACE_TEMPLATE)


@pytest.fixture
def face():
    waves = np.sin(np.mgrid[:112, :112] / 9.0).sum(0) * 60 + 128
    return np.stack([waves, waves[::-1], waves.T], 2).astype(np.uint8)


def test_a_face_already_on_the_template_is_left_as_it_is(face):
    assert np.abs(align(face, TEMPLATE).astype(int) - face)[1:-1, 1:-1].max() <= 1


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_shifted_and_enlarged_face_comes_back(face, scale):
    large = np.asarray(Image.fromarray(face).resize((112 * scale, 112 * scale), Image.Resampling.BICUBIC))
    photo = np.zeros((500, 500, 3), np.uint8)
    photo[40 : 40 + len(large), 25 : 25 + len(large)] = large
    landmarks = (TEMPLATE + 0.5) * scale - 0.5 + (25, 40)
    difference = np.abs(align(photo, landmarks).astype(int) - face)[3:-3, 3:-3]
    assert difference.mean() < 2


def test_a_turned_face_comes_back_upright(face):
    turned = np.rot90(face)
    landmarks = np.stack([TEMPLATE[:, 1], 111 - TEMPLATE[:, 0]], 1)
    assert np.abs(align(turned, landmarks).astype(int) - face).max() <= 1


def test_a_large_face_is_averaged_not_sampled():
    noise = np.random.default_rng(0).integers(0, 256, (1120, 1120, 3), np.uint8)
    assert align(noise, TEMPLATE * 10).std() < 15


@pytest.mark.parametrize(
    ("landmarks", "said"),
    [
        (np.zeros((5, 2)), "not five points"),
        (np.full((5, 2), np.nan), "not five points"),
        (TEMPLATE[[1, 0, 2, 4, 3]], "order is left eye"),
        (TEMPLATE[[3, 4, 2, 0, 1]], "order is left eye"),
        (TEMPLATE[:, ::-1], "order is left eye"),
    ],
)
def test_landmarks_that_form_no_face_are_refused(face, landmarks, said):
    with pytest.raises(AlignError, match=said):
        align(face, landmarks)


@pytest.mark.parametrize("times", [1.5, 2, 4, -1])
def test_landmarks_of_a_larger_version_lie_outside_the_picture(face, times):
    with pytest.raises(OutsideError, match=r"% of the face outside this picture of 112x112; give those of this"):
        align(face, TEMPLATE * times)


@pytest.mark.parametrize(("across", "refused"), [(0.45, False), (0.55, True)])
@pytest.mark.parametrize("side", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_a_face_at_the_edge_is_taken_while_half_of_it_is_picture(face, side, across, refused):
    landmarks = TEMPLATE + np.array(side) * across * 112
    if refused:
        with pytest.raises(OutsideError):
            align(face, landmarks)
    else:
        assert 0.5 < (align(face, landmarks).sum(2) > 0).mean() < 0.6


def test_a_picture_cut_closely_around_its_five_landmarks_is_taken(face):
    close = face[48:98, 34:78]
    assert (align(close, TEMPLATE - (34, 48)).sum(2) > 0).mean() < 0.3


def test_real_photographs_align_as_published_to_two_pixels(shared):
    """The published faces were cut by another detector's landmarks, which lie up to two pixels apart."""
    raw = shared / "faces" / "lfw_raw"
    with (raw / "landmarks.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1::8]
    inside, shifts = slice(8, -8), list(itertools.product(range(-2, 3), repeat=2))
    differences = []
    for name, *numbers in rows:
        ours = align(read_image(raw / name), np.array(numbers, float)).astype(int)
        published = read_image(shared / "faces" / "lfw" / name)[inside, inside]
        moved = [np.roll(ours, shift, (0, 1))[inside, inside] for shift in shifts]
        differences.append(min(np.abs(each - published).mean() for each in moved))
    assert np.median(differences) < 6
