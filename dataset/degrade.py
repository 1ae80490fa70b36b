"""Low-resolution views of aligned faces, made as one tensor on the faces' device.

Resizing along an axis is linear, so each size is a small matrix, and a batch of mixed sizes is two batched matrix
products down and two up. The matrices are what `torch.nn.functional.interpolate` does to the unit matrix.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

FACE_PX = 112


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


def shrink_mixed(faces: Tensor, sizes_px: Tensor, modes: Tensor | None = None) -> Tensor:
    """Shrink each face to a size of its own, in the upper left corner of a common canvas; not clamped or rounded.

    Args:
        faces: (B, 3, 112, 112) RGB in [0, 1].
        sizes_px: (B,) int64.
        modes: (B,) int64 index into `FILTERS`; None is bicubic.

    Returns:
        (B, 3, S, S), S the largest size; zero outside each face's own square.
    """
    matrices = _down_matrices(faces.device, faces.dtype)
    down = matrices[0 if modes is None else modes.to(faces.device), sizes_px.to(faces.device)]
    return _resize(faces, down[:, : int(sizes_px.max())])


def enlarge_mixed(small: Tensor, sizes_px: Tensor) -> Tensor:
    """Enlarge what `shrink_mixed` made to (B, 3, 112, 112) by bicubic interpolation, clamped to [0, 1]."""
    up = _up_matrices(small.device, small.dtype)[sizes_px.to(small.device)]
    return _resize(small, up[:, :, : small.shape[-1]]).clamp(0, 1)


def eight_bits(values: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to multiples of 1 / 255."""
    return values.clamp(0, 1).mul(255).round().div(255)


FILTERS = ("bicubic", "bilinear", "area", "nearest-exact")
"""Ways to shrink; the first two with antialiasing."""


def _resize(faces: Tensor, matrices: Tensor) -> Tensor:
    """Apply one (n, m) matrix a face to the rows and columns of (B, 3, m, m)."""
    matrices = matrices[:, None]
    return matrices @ faces @ matrices.transpose(2, 3)


@lru_cache(maxsize=8)
def _down_matrices(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (filter, size, 112, 112): the first `size` rows shrink an axis of 112 to `size`, the rest are zero."""
    table = torch.zeros(len(FILTERS), FACE_PX + 1, FACE_PX, FACE_PX)
    unit = torch.eye(FACE_PX)[None, None]
    for number, mode in enumerate(FILTERS):
        smooth = mode in ("bicubic", "bilinear")
        for size in range(1, FACE_PX + 1):
            table[number, size, :size] = F.interpolate(unit, (size, FACE_PX), mode=mode, antialias=smooth)[0, 0]
    return table.to(device, dtype)


@lru_cache(maxsize=8)
def _up_matrices(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (size, 112, 112): the first `size` columns enlarge an axis of `size` to 112, the rest are zero."""
    table = torch.zeros(FACE_PX + 1, FACE_PX, FACE_PX)
    for size in range(1, FACE_PX + 1):
        unit = torch.eye(size)[None, None]
        table[size, :, :size] = F.interpolate(unit, (FACE_PX, size), mode="bicubic")[0, 0]
    return table.to(device, dtype)
