"""The benchmark of misalignment moves landmarks by what it says."""

import math

import numpy as np
import pytest

from benchmarks.misalignment import (
    MOVES,
    TEMPLATE,
    cut,
    few_of_each,
    misaligned,
    scaled,
    shifted,
    square_around,
    to_size,
    turned,
)
from dataset.photographs.detect import native_size_px

DRAWS = [np.random.default_rng(seed) for seed in range(20)]


@pytest.mark.parametrize("amount", [0.05, 0.1, 0.2])
def test_landmarks_are_shifted_turned_and_scaled_by_the_share_that_is_named(amount):
    moved = np.array([shifted(TEMPLATE, amount, draw) - TEMPLATE for draw in DRAWS])
    assert np.allclose(np.linalg.norm(moved, axis=2), amount * 112) and np.ptp(moved[:, 0, 0]) > amount * 112
    eyes = np.array([np.subtract(*turned(TEMPLATE, amount, draw)[1::-1]) for draw in DRAWS])
    before = np.subtract(*TEMPLATE[1::-1])
    angles = np.arctan2(eyes[:, 1], eyes[:, 0]) - math.atan2(before[1], before[0])
    assert np.allclose(np.abs(angles), amount * math.pi / 2) and len(set(np.sign(angles))) == 2
    sides = {round(native_size_px(scaled(TEMPLATE, amount, draw), TEMPLATE) / 112, 6) for draw in DRAWS}
    assert sides == {1 - amount, 1 + amount}


def test_faces_in_place_come_first_and_every_move_changes_them_more_the_further_it_goes():
    waves = np.sin(np.mgrid[:112, :112] / 9.0).sum(0) * 60 + 128
    faces = [np.stack([waves, waves[::-1], waves.T], 2).astype(np.uint8)]
    (name, (first,)), *others = misaligned(faces)
    assert name == "in place" and np.array_equal(first, faces[0]) and len(others) == 3 * len(MOVES)
    for kind in MOVES:
        changes = [np.abs(face.astype(int) - first).mean() for name, (face,) in others if name.startswith(kind)]
        assert changes == sorted(changes) and changes[0] > 1


def test_photographs_are_shrunk_until_the_face_has_its_size():
    small, points = to_size(np.zeros((500, 400, 3), np.uint8), TEMPLATE * 2 + 50, 16)
    assert small.shape == (36, 29, 3) and native_size_px(points, TEMPLATE) == pytest.approx(16, rel=0.02)
    assert np.allclose((points + 0.5) / (29, 36), (TEMPLATE * 2 + 50.5) / (400, 500))
    square = square_around((100, 50, 180, 150), np.zeros((500, 400, 3)))
    assert square == (0.35, 0.25, 0.25) and cut(np.zeros((50, 40, 3), np.uint8), square).shape == (10, 10, 3)


def test_of_everybody_with_two_photographs_or_more_the_first_four_are_taken():
    assert few_of_each(np.array([2, 0, 1, 0, 2, 2, 2, 2])).tolist() == [0, 1, 3, 4, 5, 6]
