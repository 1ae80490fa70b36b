"""The deployed chain as torch modules that exporters can translate for every input size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACE_PX = 112


class Enlarge(nn.Module):
    """Bicubic interpolation to 112x112 of any size as two matrix products, equal to `dataset.views.degrade.enlarge`.

    The matrices are made in the graph from the input's size: exact in every runtime, and faster than `Resize`.
    """

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 112, 112)."""
        rows, columns = _interpolation(faces.shape[2]), _interpolation(faces.shape[3])
        wider = F.pad(faces, (2, 2, 2, 2), mode="replicate")
        return (rows @ wider @ columns.T).clamp(0, 1)


class Embed(nn.Module):
    """EdgeFace with its preprocessing and normalisation.

    Args:
        network: (B, 3, 112, 112) in [-1, 1] -> (B, 512).
        takes_unit_range: Whether the network wants [0, 1] instead.
    """

    def __init__(self, network: nn.Module, takes_unit_range: bool = False) -> None:
        super().__init__()
        self.network, self.takes_unit_range = network, takes_unit_range

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] -> (B, 512) of unit length."""
        return F.normalize(self.network(faces if self.takes_unit_range else (faces - 0.5) / 0.5))


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
    """Return the (112, size_px + 4) matrix that interpolates an axis with two pixels more at either end."""
    place = (torch.arange(FACE_PX, dtype=torch.float32) + 0.5) * (size_px / FACE_PX) + 1.5
    return _cubic(place[:, None] - torch.arange(size_px + 4, dtype=torch.float32))


def _cubic(distance: Tensor) -> Tensor:
    """Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981, with a = -3/4.

    Its two polynomials, written as powers that vanish beyond 2 and beyond 1.
    """
    far, near = F.relu(2 - distance.abs()), F.relu(1 - distance.abs())
    return 0.75 * far * far * (far - 1) - 2 * near * near * near
