"""The deployed chain as torch modules that exporters can translate for every input size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACE_PX = 112
_CUBIC = -0.75  # the coefficient of torch's and OpenCV's bicubic interpolation


class Enlarge(nn.Module):
    """Bicubic interpolation to 112x112 of any size as two matrix products, equal to `dataset.degrade.enlarge`.

    The matrices are made in the graph from the input's size: exact in every runtime, and faster than `Resize`.
    """

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 112, 112)."""
        rows, columns = _interpolation(faces.shape[2]), _interpolation(faces.shape[3])
        return (rows @ faces @ columns.T).clamp(0, 1)


class Embed(nn.Module):
    """EdgeFace with its preprocessing and normalisation.

    Args:
        network: (B, 3, 112, 112) in [-1, 1] -> (B, 512).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] -> (B, 512) of unit length."""
        return F.normalize(self.network((faces - 0.5) / 0.5))


class Chain(nn.Module):
    """Enlarge, restore, embed: the way of a small face, for formats that cannot choose by size.

    Args:
        dsr: Super-resolver, or None.
        network: EdgeFace.
    """

    def __init__(self, dsr: nn.Module | None, network: nn.Module) -> None:
        super().__init__()
        self.enlarge, self.dsr, self.embed = Enlarge(), dsr or nn.Identity(), Embed(network)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 512) of unit length."""
        embeddings: Tensor = self.embed(self.dsr(self.enlarge(faces)))
        return embeddings


def _interpolation(size_px: int) -> Tensor:
    """Return the (112, size_px) matrix that interpolates an axis, its border repeated."""
    place = (torch.arange(FACE_PX, dtype=torch.float32) + 0.5) * (size_px / FACE_PX) - 0.5
    first = place.floor()
    offsets = torch.arange(-1, 3, dtype=torch.float32)
    weights = _cubic((place - first)[:, None] - offsets)
    sources = (first[:, None] + offsets).clamp(min=0).minimum(torch.full((), size_px - 1, dtype=torch.float32))
    hits = sources[:, :, None] == torch.arange(size_px, dtype=torch.float32)
    return (weights[:, :, None] * hits.float()).sum(1)


def _cubic(distance: Tensor) -> Tensor:
    """Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981."""
    far = distance.abs()
    near = ((_CUBIC + 2) * far - (_CUBIC + 3)) * far * far + 1
    outer = ((_CUBIC * far - 5 * _CUBIC) * far + 8 * _CUBIC) * far - 4 * _CUBIC
    return torch.where(far <= 1, near, torch.where(far < 2, outer, torch.zeros_like(far)))
