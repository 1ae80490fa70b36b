import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.views.degrade import enlarge, realistic_canvas
from pipeline.evaluation.faces import HR_PX, open_split, stack

ROWS = np.array([3, 0, 7])


@pytest.fixture
def split(chain):
    return open_split(chain / "test_processed")


@pytest.fixture
def camera(split):
    return replace(split, degradation="real")


def test_views_of_cameras_are_those_of_the_training(camera):
    names = [camera.keys[row] for row in ROWS]
    found = stack(camera.views(ROWS, 12))
    seeds = torch.tensor([view_seed(name) for name in names])
    wanted = realistic_canvas(stack(camera.views(ROWS, HR_PX)), torch.full((3,), 12), seeds)
    assert torch.allclose(enlarge(found), wanted, atol=2e-3)


def view_seed(name):
    return int(hashlib.sha256(name.encode()).hexdigest()[:14], 16)


def test_a_camera_does_the_same_to_a_face_in_whatever_batch(camera):
    alone = [camera.views(np.array([row]), 10)[0] for row in ROWS]
    assert all(np.array_equal(one, other) for one, other in zip(alone, camera.views(ROWS, 10), strict=True))


def test_embeddings_of_camera_views_are_kept_apart_from_clean_ones_and_full_size_is_shared(split, camera):
    assert split.view_key(10) != camera.view_key(10)
    assert split.view_key(HR_PX) == camera.view_key(HR_PX)
    assert camera.view_source(10) == "made from HR, as cameras would"


def test_clean_files_on_disk_do_not_stand_for_camera_views(camera, tmp_path):
    files = {}
    for row, key in enumerate(camera.keys):
        files[key] = tmp_path / f"{row}.png"
        Image.new("RGB", (8, 8), "red").save(files[key])
    shown = replace(camera, vlr_files={8: files})
    red = replace(shown, degradation="clean").views(ROWS, 8)
    assert all(np.array_equal(face, red[0]) for face in red)
    assert not any(np.array_equal(face, red[0]) for face in shown.views(ROWS, 8))
