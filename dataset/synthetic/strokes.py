"""What every part of a portrait is drawn with: soft edges, soft spots, textures, palettes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.views.random_streams import Draws

Rows = dict[str, Tensor]
"""Name to (B, 1, 1, 1)."""


def mix(palette: tuple[tuple[float, float, float], ...], share: Tensor) -> Tensor:
    """Return the colour (B, 3, 1, 1) at a share (B, 1, 1, 1) of the way through a palette."""
    colours = torch.tensor(palette, device=share.device)
    place = share[:, 0, 0, 0] * (len(palette) - 1)
    lower = place.long().clamp(max=len(palette) - 2)
    part = (place - lower)[:, None]
    return (colours[lower] * (1 - part) + colours[lower + 1] * part)[:, :, None, None]


def texture(draws: Draws, rows: int, columns: int, size_px: int) -> Tensor:
    """Return smooth noise of standard deviation about 1, with that many waves down and across."""
    return F.interpolate(draws.normal(1, rows, columns), (size_px, size_px), mode="bicubic")


def bump(
    u: Tensor, v: Tensor, at_u: Tensor | float, at_v: Tensor | float, wide: Tensor | float, high: Tensor | float
) -> Tensor:
    """Return a soft spot of height 1 at (at_u, at_v), wide and high by standard deviation times the root of 2."""
    return fade(((u - at_u) / wide) ** 2 + ((v - at_v) / high) ** 2)


def unit(vectors: Tensor) -> Tensor:
    """Return (B, 3, S, S) at length 1; a norm across planes is many times slower than this sum."""
    return vectors * (vectors**2).sum(1, keepdim=True).rsqrt()


def fade(squared: Tensor) -> Tensor:
    """Return exp(-squared), never smaller than any pixel shows: numbers next to zero cost a processor much time."""
    return torch.exp(-squared.clamp(max=40.0))


def inside(distance: Tensor, softness: Tensor | float) -> Tensor:
    """Return 1 where a signed distance is negative, 0 where positive, with an edge of that width."""
    return (0.5 - distance / softness).clamp(0, 1)


def over(below: Tensor, colour: Tensor, mask: Tensor) -> Tensor:
    """Lay a colour over a picture where a mask in [0, 1] says so."""
    return below + mask * (colour - below)
