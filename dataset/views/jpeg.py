"""What JPEG does to a picture, for batches of small pictures on their device, each with its own quality.

Follows ITU-T T.81 (baseline) and JFIF: YCbCr of BT.601, chroma at full or half resolution, the tables of annex K
scaled as libjpeg scales them. Entropy coding is lossless and therefore left out.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg(pictures: Tensor, quality: Tensor, subsampled: Tensor) -> Tensor:
    """Compress and decompress.

    Args:
        pictures: (B, 3, H, W) RGB in [0, 1]; H and W are multiples of 16.
        quality: (B,) in 1..100, as libjpeg counts it.
        subsampled: (B,) bool: chroma at half the resolution (4:2:0), else at full (4:4:4).

    Returns:
        (B, 3, H, W) RGB in [0, 1], multiples of 1 / 255.
    """
    luma, chroma = _tables(pictures.device)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None, None, None, None]
    luma, chroma = (((table * scale + 50) / 100).floor().clamp(1, 255) for table in (luma, chroma))
    ycc = torch.einsum("dc,bchw->bdhw", _matrix(pictures.device), pictures * 255).round()
    brightness = _quantise(ycc[:, :1] - 128, luma) + 128
    colour = _quantise(ycc[:, 1:], chroma)
    half = _quantise(_halved(ycc[:, 1:]), chroma).round()
    coarse = F.interpolate(half, scale_factor=2, mode="bilinear")
    colour = torch.where(subsampled[:, None, None, None], coarse, colour)
    back = torch.linalg.inv(_matrix(pictures.device))
    rgb = torch.einsum("dc,bchw->bdhw", back, torch.cat([brightness, colour], 1).round())
    return rgb.round().clamp(0, 255) / 255


def _halved(planes: Tensor) -> Tensor:
    """Average 2x2 pixels to whole levels; ties fall down and up in turn, as libjpeg lets them."""
    bias = 0.25 + 0.25 * (torch.arange(planes.shape[3] // 2, device=planes.device) % 2)
    return (F.avg_pool2d(planes, 2) + bias).floor()


def _quantise(planes: Tensor, table: Tensor) -> Tensor:
    """Round the DCT of each 8x8 block of (B, C, H, W) to multiples of a (B, 1, 1, 1, 8, 8) table."""
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    dct = _dct(planes.device)
    frequencies = ((dct @ blocks @ dct.T) / table).round() * table
    blocks = dct.T @ frequencies @ dct
    return blocks.transpose(3, 4).reshape(planes.shape)


@lru_cache(maxsize=8)
def _dct(device: torch.device) -> Tensor:
    """Return the orthonormal 8-point DCT-II as (frequency, position)."""
    position, frequency = torch.arange(8), torch.arange(8)[:, None]
    rows = torch.cos(math.pi / 8 * (position + 0.5) * frequency) / 2
    rows[0] /= math.sqrt(2)
    return rows.to(device)


@lru_cache(maxsize=8)
def _matrix(device: torch.device) -> Tensor:
    return torch.tensor(_TO_YCC, device=device)


@lru_cache(maxsize=8)
def _tables(device: torch.device) -> Tensor:
    return torch.tensor((_LUMA, _CHROMA), dtype=torch.float32, device=device)
