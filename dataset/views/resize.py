"""Resizing batches of faces in which each has a size of its own.

Resizing along an axis is linear, so each size is a small matrix, and a batch of mixed sizes is two batched matrix
products down and two up. The matrices are what `torch.nn.functional.interpolate` does to the unit matrix.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

FACE_PX = 112

FILTERS = ("bicubic", "bilinear", "area", "nearest-exact")
"""Ways to shrink; the first two with antialiasing."""


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


def _resize(faces: Tensor, matrices: Tensor) -> Tensor:
    """Apply one (n, m) matrix a face to the columns and rows of (B, 3, m, m)."""
    return _resize_columns(_resize_columns(faces, matrices).transpose(2, 3), matrices).transpose(2, 3)


def _resize_columns(faces: Tensor, matrices: Tensor) -> Tensor:
    """One product a face, its channels stacked: a broadcast product would copy the matrix for each channel."""
    batch, channels, height, width = faces.shape
    stacked = faces.reshape(batch, channels * height, width)
    return torch.bmm(stacked, matrices.transpose(1, 2)).reshape(batch, channels, height, -1)


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
