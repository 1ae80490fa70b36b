import math

import numpy as np
import torch

from dataset.views.camera import blur, misalign, sensor_noise
from dataset.views.random_streams import Draws


def dot() -> torch.Tensor:
    faces = torch.zeros(1, 3, 112, 112)
    faces[:, :, 56, 56] = 1
    return faces


def zero() -> torch.Tensor:
    return torch.zeros(1)


def test_gaussian_blur_is_the_gaussian_turned():
    sigmas, angle = torch.tensor([[5.0, 2.0]]), torch.tensor([0.6])
    ours = blur(dot(), sigmas, angle, zero(), zero())[0, 0]
    down, right = np.mgrid[:112, :112] - 56
    along = right * math.cos(0.6) + down * math.sin(0.6)
    across = -right * math.sin(0.6) + down * math.cos(0.6)
    expected = np.exp(-((along / 5) ** 2 + (across / 2) ** 2) / 2) / (2 * math.pi * 10)
    assert np.abs(ours.numpy() - expected).max() < 1e-4


def test_motion_spreads_a_dot_along_its_direction_only():
    ours = blur(dot(), torch.tensor([[1.0, 1.0]]), zero(), torch.tensor([12.0]), zero())[0, 0]
    row = ours[56]
    assert (row > 0.5 * row.max()).sum() in (11, 12, 13)
    assert ours[60].max() < 1e-3
    assert abs(float(ours.sum()) - 1) < 0.05


def test_blur_of_nothing_changes_nothing_and_light_is_kept():
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(2)
    assert torch.allclose(blur(faces, torch.zeros(2, 2), none, none, none), faces, atol=1e-5)
    grey = torch.full_like(faces, 0.4)
    assert torch.allclose(blur(grey, torch.full((2, 2), 9.0), none, none + 20, none), grey, atol=1e-5)


def test_misalignment_of_strength_zero_is_none_and_of_one_is_small():
    ramp = torch.linspace(0, 1, 112).expand(500, 3, 112, 112).contiguous()
    assert torch.allclose(misalign(ramp, Draws(torch.arange(500)), 0), ramp, atol=1e-4)
    shift = (misalign(ramp, Draws(torch.arange(500))) - ramp)[:, 0, 56, 56] * 111
    assert 1.1 < shift.std() < 1.5 and shift.abs().max() < 4


def test_noise_has_the_variance_and_the_colour_asked_for():
    light = torch.full((3, 3, 200, 200), 0.5)
    shot, read = torch.tensor([0.01, 0.0, 0.01]), torch.tensor([0.0, 0.05, 0.05])
    colour = torch.tensor([0.0, 1.0, 0.5])
    noise = sensor_noise(light, shot, read, colour, Draws(torch.arange(3))) - light
    assert torch.allclose(noise.var((1, 2, 3)), torch.tensor([0.005, 0.0025, 0.0075]), rtol=0.05)
    correlation = [float(np.corrcoef(each.reshape(3, -1).numpy())[0, 1]) for each in noise]
    assert np.allclose(correlation, [1.0, 0.0, 0.5], atol=0.03)
