import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dataset.views.degrade import enlarge, low_resolution_canvas, realistic_canvas, shrink
from dataset.views.resize import eight_bits, shrink_mixed


@pytest.fixture
def faces():
    noise = torch.rand(6, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise, (112, 112), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("size_px", [6, 7, 16, 32])
def test_shrinking_is_antialiased_bicubic_in_8_bits(faces, size_px):
    small = shrink(faces, size_px)
    reference = F.interpolate(faces, (size_px, size_px), mode="bicubic", antialias=True).clamp(0, 1)
    assert small.shape == (6, 3, size_px, size_px)
    assert (small - reference).abs().max() <= 0.5 / 255 + 1e-6
    assert (small * 255 - (small * 255).round()).abs().max() < 1e-4


def test_shrinking_agrees_with_pillow_to_one_step(faces):
    pixels = (faces[0] * 255).round()
    picture = Image.fromarray(pixels.permute(1, 2, 0).byte().numpy())
    pillow = np.asarray(picture.resize((14, 14), Image.Resampling.BICUBIC))
    ours = (shrink(pixels[None] / 255, 14)[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(ours - pillow).max() <= 1


def test_enlarging_is_bicubic_and_clamped():
    stripes = torch.tensor([0.0, 1.0] * 4).expand(1, 3, 8, 8)
    large = enlarge(stripes)
    assert large.shape == (1, 3, 112, 112)
    assert large.min() == 0 and large.max() == 1
    assert torch.allclose(large, F.interpolate(stripes, (112, 112), mode="bicubic").clamp(0, 1), atol=1e-6)


def test_a_canvas_of_mixed_sizes_equals_each_face_shrunk_and_enlarged_alone(faces):
    sizes = torch.tensor([6, 7, 13, 16, 31, 32])
    canvas = low_resolution_canvas(faces, sizes)
    for face, size, ours in zip(faces, sizes, canvas, strict=True):
        difference = (enlarge(shrink(face[None], int(size)))[0] - ours).abs()
        # A value at a half step may round either way; anything else would change far more than a few pixels.
        assert (difference < 1e-5).float().mean() > 0.97
        assert difference.max() < 1.2 / 255


def test_a_canvas_at_full_size_is_the_face_in_8_bits(faces):
    canvas = low_resolution_canvas(faces, torch.full((6,), 112))
    assert (canvas - faces).abs().max() <= 0.5 / 255 + 1e-5


def test_a_face_does_not_depend_on_its_batch(faces):
    together = low_resolution_canvas(faces, torch.tensor([6, 9, 12, 17, 24, 32]))
    alone = low_resolution_canvas(faces[2:3], torch.tensor([12]))
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_channels_last_faces_give_the_same_canvas(faces):
    sizes = torch.tensor([6, 9, 12, 17, 24, 32])
    moved = faces.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(low_resolution_canvas(moved, sizes), low_resolution_canvas(faces, sizes), atol=1e-5)


def test_a_realistic_view_depends_on_its_seed_alone(faces):
    sizes, seeds = torch.tensor([6, 9, 12, 17, 24, 32]), torch.arange(6)
    together = realistic_canvas(faces, sizes, seeds)
    alone = realistic_canvas(faces[2:3], sizes[2:3], seeds[2:3])
    assert torch.equal(together, realistic_canvas(faces, sizes, seeds))
    # A quantisation step that falls the other way at a half moves a block by one step; nothing else may differ.
    assert (together[2:3] - alone).abs().mean() < 1e-3
    assert (realistic_canvas(faces, sizes, seeds + 6) - together).abs().flatten(1).max(1).values.min() > 0.01


def test_realistic_views_stay_in_range_and_near_the_clean_ones(faces):
    many, sizes = faces.repeat(40, 1, 1, 1), torch.arange(6, 33).repeat(9)[:240]
    real = realistic_canvas(many, sizes, torch.arange(240))
    clean = low_resolution_canvas(many, sizes)
    assert real.shape == clean.shape and real.min() >= 0 and real.max() <= 1
    distance = (real - clean).abs().flatten(1).mean(1)
    assert 0.01 < distance.median() < 0.15 and distance.max() < 0.35


@pytest.mark.parametrize(
    ("mode", "pillows"),
    [(0, Image.Resampling.BICUBIC), (1, Image.Resampling.BILINEAR), (2, Image.Resampling.BOX)],
)
def test_each_way_to_shrink_is_pillows_but_for_its_rounding(faces, mode, pillows):
    pixels = (faces * 255).round()
    for size in (14, 16, 28):  # whole ratios for the box too, where its edges are unambiguous
        small = shrink_mixed(pixels / 255, torch.full((6,), size), torch.full((6,), mode))
        for face, ours in zip(pixels, eight_bits(small), strict=True):
            picture = Image.fromarray(face.permute(1, 2, 0).byte().numpy())
            pillow = np.asarray(picture.resize((size, size), pillows)).astype(int)
            mine = (ours * 255).round().permute(1, 2, 0).numpy()
            # Pillow clamps and rounds between its two passes, we do so once.
            assert np.abs(mine - pillow).max() <= 3 and np.abs(mine - pillow).mean() < 0.3


def test_the_nearest_pixel_is_that_of_a_naive_loop(faces):
    small = shrink_mixed(faces, torch.full((6,), 9), torch.full((6,), 3))
    for row in range(9):
        for column in range(9):
            at = faces[:, :, int((row + 0.5) * 112 / 9), int((column + 0.5) * 112 / 9)]
            assert torch.allclose(small[:, :, row, column], at, atol=1e-6)
