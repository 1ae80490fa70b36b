from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from dataset.photographs.image_files import read_image
from dataset.synthetic.people import synthetic_faces
from dataset.views.degrade import enlarge, shrink
from dataset.views.resolution import as_seen, at_own_resolution, resize


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return synthetic_faces(torch.arange(16), torch.arange(16), seed=3).float() / 255


def share_small(faces: torch.Tensor) -> float:
    stored = (faces * 255).round() / 255
    return float(np.mean([as_seen(face).shape[-1] == 32 for face in stored.numpy()]))


def test_sharp_faces_and_small_ones_stay_what_they_are(faces: torch.Tensor) -> None:
    assert share_small(faces) == 0
    small = shrink(faces, 20).numpy()
    assert all(as_seen(face) is face for face in small)


@pytest.mark.parametrize("size_px", [8, 16, 20, 24, 32])
def test_a_small_face_enlarged_to_full_size_is_seen_through(faces: torch.Tensor, size_px: int) -> None:
    assert share_small(enlarge(shrink(faces, size_px))) >= 0.9


def test_so_is_one_enlarged_to_other_sizes(faces: torch.Tensor) -> None:
    small = shrink(faces, 24).numpy()
    assert all(as_seen(resize(face, 80, 80)).shape == (3, 32, 32) for face in small)


def test_from_48_px_on_most_enlarged_faces_keep_their_detail(faces: torch.Tensor) -> None:
    assert share_small(enlarge(shrink(faces, 48))) <= 0.25


def test_an_unsharp_photograph_counts_as_small(faces: torch.Tensor) -> None:
    assert share_small(gaussian_blur(faces, [17, 17], [3.0, 3.0])) == 1
    assert share_small(gaussian_blur(faces, [5, 5], [0.5, 0.5])) == 0


def test_what_is_shrunk_keeps_its_content(faces: torch.Tensor) -> None:
    blurred = enlarge(shrink(faces, 16)).numpy()
    back = np.stack([resize(as_seen(face), 112, 112) for face in blurred])
    assert np.square(back - blurred).mean() < 10**-3.6


def test_each_face_of_a_mixed_batch_is_worked_on_at_its_own_resolution(faces: torch.Tensor) -> None:
    mixed = torch.cat([faces[:3], enlarge(shrink(faces[3:5], 12)), faces[5:6]]).numpy()
    sides = at_own_resolution(mixed, lambda part: np.full((len(part), 2), part.shape[-1], np.float32))
    assert sides[:, 0].tolist() == [112, 112, 112, 32, 32, 112]
    means = at_own_resolution(mixed, lambda part: part.mean((1, 2, 3))[:, None])
    np.testing.assert_allclose(means[:, 0], mixed.mean((1, 2, 3)), atol=0.01)


def test_of_real_photographs_hardly_one_is_mistaken(shared: Path) -> None:
    files = sorted((shared / "faces" / "lfw").rglob("*.jpg"))[::25]
    faces = torch.from_numpy(np.stack([read_image(path) for path in files])).permute(0, 3, 1, 2).float() / 255
    assert len(faces) > 400
    assert share_small(faces) <= 0.02
    assert share_small(enlarge(shrink(faces, 32))) >= 0.9
