"""Low-resolution views of aligned faces, made as one tensor on the faces' device: clean, or as cameras deliver them."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.views.camera import blur, misalign, sensor_noise
from dataset.views.jpeg import jpeg
from dataset.views.random_streams import Draws
from dataset.views.resize import FACE_PX, FILTERS, eight_bits, enlarge_mixed, shrink_mixed

Degradation = Literal["clean", "real"]


def shrink(faces: Tensor, size_px: int) -> Tensor:
    """Shrink faces as an image program does: bicubic with antialiasing, stored in 8 bits.

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        size_px: Side of the result, in pixels.

    Returns:
        (B, 3, size_px, size_px) RGB in [0, 1], multiples of 1 / 255.
    """
    small = F.interpolate(faces, (size_px, size_px), mode="bicubic", antialias=True, align_corners=False)
    return eight_bits(small)


def enlarge(faces: Tensor, size_px: int = FACE_PX) -> Tensor:
    """Enlarge (B, 3, h, w) RGB in [0, 1] to (B, 3, size_px, size_px) by bicubic interpolation, clamped to [0, 1]."""
    return F.interpolate(faces, (size_px, size_px), mode="bicubic", align_corners=False).clamp(0, 1)


def low_resolution_canvas(faces: Tensor, sizes_px: Tensor) -> Tensor:
    """Shrink each face to a size of its own, round to 8 bits and enlarge again.

    Equal to `enlarge(shrink(face, size))` of each face to 1e-5, except that where a value lies within float rounding
    of a half step, its 8-bit rounding may fall on the other side.

    Args:
        faces: (B, 3, 112, 112) RGB in [0, 1].
        sizes_px: (B,) int64, each in 1..112.

    Returns:
        (B, 3, 112, 112) RGB in [0, 1], on the faces' device.
    """
    return enlarge_mixed(eight_bits(shrink_mixed(faces, sizes_px)), sizes_px)


def realistic_canvas(faces: Tensor, sizes_px: Tensor, seeds: Tensor) -> Tensor:
    """Do as `low_resolution_canvas`, but as a camera, its software and an inexact alignment would (`as_cameras`).

    Args:
        faces: (B, 3, 112, 112) RGB in [0, 1].
        sizes_px: (B,) int64, each in 1..112.
        seeds: (B,) int64: what happens to a face depends on its seed alone, not on its batch.

    Returns:
        (B, 3, 112, 112) RGB in [0, 1], on the faces' device.
    """
    return enlarge_mixed(as_cameras(faces, sizes_px, seeds), sizes_px.to(faces.device))


def as_cameras(faces: Tensor, sizes_px: Tensor, seeds: Tensor) -> Tensor:
    """Shrink each face to a size of its own as a camera, its software and an inexact alignment would.

    Each step spares some faces, so that clean views remain among them: misalignment (80 %); anisotropic Gaussian
    blur and motion (70 %); one of four resize filters; Poisson-Gaussian noise with a share of colour noise (70 %);
    JPEG of quality 30 to 95, half of it with subsampled chroma (70 %). Blur and noise are measured in pixels of the
    small picture, which is where a camera makes them.

    Args:
        faces: (B, 3, 112, 112) RGB in [0, 1].
        sizes_px: (B,) int64, each in 1..112.
        seeds: (B,) int64: what happens to a face depends on its seed alone, not on its batch.

    Returns:
        (B, 3, S, S) RGB in [0, 1], multiples of 1 / 255, S at least the largest size: each face in the upper left
        corner, on the faces' device; what lies outside of its square has no meaning.
    """
    sizes_px = sizes_px.to(faces.device)
    draws = Draws(seeds.to(faces.device))
    faces = _where(draws.chance(0.8), misalign(faces, draws), faces)
    faces = _where(draws.chance(0.7), _blurred(faces, FACE_PX / sizes_px, draws), faces)
    modes = (draws.uniform() * len(FILTERS)).long()
    small = eight_bits(shrink_mixed(faces, sizes_px, modes))
    small = _square_of_blocks(small, sizes_px)
    quality, subsampled, as_jpeg = draws.uniform(low=30, high=95).round(), draws.chance(0.5), draws.chance(0.7)
    small = _where(draws.chance(0.7), _noisy(small, draws), small)
    return _where(as_jpeg, jpeg(small, quality, subsampled), eight_bits(small))


def _where(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], yes, no)


def _blurred(faces: Tensor, pixel_px: Tensor, draws: Draws) -> Tensor:
    """Blur by up to 0.8 small pixels (standard deviation) and a motion of up to 2 in a third of the faces."""
    sigmas = draws.uniform(2) * 0.8 * pixel_px[:, None]
    motion = draws.uniform(high=2.0) * pixel_px * draws.chance(1 / 3)
    return blur(faces, sigmas, draws.uniform(high=math.pi), motion, draws.uniform(high=math.pi))


def _noisy(small: Tensor, draws: Draws) -> Tensor:
    """Add noise of up to 5 % in white and 2.5 % in black; squared draws make most pictures nearly clean."""
    colour = draws.uniform()
    shot, read = 0.0025 * draws.uniform() ** 2, 0.025 * draws.uniform() ** 2
    return sensor_noise(small, shot, read, colour, draws).clamp(0, 1)


def _square_of_blocks(small: Tensor, sizes_px: Tensor) -> Tensor:
    """Repeat each small picture's last row and column up to whole JPEG blocks of 16, as an encoder does."""
    side = -(-small.shape[-1] // 16) * 16
    index = torch.arange(side, device=small.device).minimum(sizes_px[:, None] - 1)
    batch = torch.arange(len(small), device=small.device)[:, None, None]
    return small[batch, :, index[:, :, None], index[:, None]].permute(0, 3, 1, 2)
