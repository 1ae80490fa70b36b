"""Aligned faces made more varied: the same person, seen a little differently, or a blend of two people.

The random numbers come from outside, (B, ...) for the whole batch over all processes, so that the result depends
neither on the device nor on the number of processes.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

JITTER_DRAWS = 7


def flip_some(faces: Tensor, chosen: Tensor) -> Tensor:
    """Mirror those of (B, C, H, W) that are True in `chosen` (B,), which is on the CPU."""
    rows = chosen.nonzero().flatten().to(faces.device)
    return faces.index_copy(0, rows, faces[rows].flip(3))


def jitter(faces: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Turn, scale, shift, and change brightness, contrast and saturation.

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        draws: (B, 7) in [0, 1).
        strength: 1 is at most 6 degrees, 8 % scale, 4 % shift, 25 % light and colour; 0 changes nothing.

    Returns:
        (B, 3, H, W) RGB in [0, 1].
    """
    draws = (2 * draws - 1) * strength
    angle, scale = draws[:, 0] * math.radians(6), 1 + 0.08 * draws[:, 1]
    matrix = torch.zeros(len(faces), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale * angle.cos()
    matrix[:, 0, 1], matrix[:, 1, 0] = -scale * angle.sin(), scale * angle.sin()
    matrix[:, :, 2] = 0.08 * draws[:, 2:4]  # affine coordinates span 2, so this is 4 % of the width
    grid = F.affine_grid(matrix.to(faces.device, faces.dtype), list(faces.shape), align_corners=False)
    moved = F.grid_sample(faces, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    light = 1 + 0.25 * draws[:, 4:7].to(faces.device, faces.dtype)
    brightness, contrast, saturation = light.T[:, :, None, None, None]
    grey = moved.mean(1, keepdim=True)
    coloured = grey + (moved - grey) * saturation
    mean = coloured.mean((1, 2, 3), keepdim=True)
    shown: Tensor = (mean + (coloured - mean) * contrast) * brightness
    return shown.clamp(0, 1)


def displace(faces: Tensor, draws: Tensor, shift_px: float) -> Tensor:
    """Move each face by a fraction of pixels and scale it a little, bilinearly.

    A recogniser that sees a face through this cannot be fooled by fine patterns that are locked to its own grid.

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        draws: (B, 3) in [0, 1).
        shift_px: Largest shift to each side; each pixel of it allows 1 % of scale.

    Returns:
        (B, 3, H, W) RGB in [0, 1], differentiable in the faces.
    """
    draws = (2 * draws - 1) * shift_px
    scale = 1 + 0.01 * draws[:, 2]
    matrix = torch.zeros(len(faces), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = 2 * draws[:, :2] / faces.shape[-1]
    grid = F.affine_grid(matrix.to(faces.device, faces.dtype), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)


def cutout(faces: Tensor, draws: Tensor) -> Tensor:
    """Hide a grey rectangle in each face (DeVries and Taylor, arXiv 1708.04552).

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        draws: (B, 4) in [0, 1): centre, then height and width, of up to half a side; zero height hides nothing.

    Returns:
        (B, 3, H, W) RGB in [0, 1].
    """
    place = draws.to(faces.device, faces.dtype)[:, :, None]
    rows = torch.linspace(0, 1, faces.shape[2], device=faces.device)
    columns = torch.linspace(0, 1, faces.shape[3], device=faces.device)
    tall = (rows - place[:, 0]).abs() < place[:, 2] / 4
    wide = (columns - place[:, 1]).abs() < place[:, 3] / 4
    return faces.masked_fill((tall[:, :, None] & wide[:, None])[:, None], 0.5)


def blend(faces: Tensor, others: Tensor, draws: Tensor) -> Tensor:
    """Blend each face with another through a smooth random mask.

    Aligned faces blend into plausible new ones, whose identity is what the recogniser sees in the blend: more
    identities to distil from, without labels.

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        others: (B, 3, H, W), the partners.
        draws: (B, 1, 3, 3) in [0, 1], the coarse mask: 0 keeps the face, 1 shows the partner.

    Returns:
        (B, 3, H, W) RGB in [0, 1].
    """
    mask = F.interpolate(draws.to(faces.device, faces.dtype), faces.shape[2:], mode="bilinear", align_corners=False)
    return faces + mask * (others - faces)
