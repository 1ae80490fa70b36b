"""Hair of a portrait: on the head, the brows, the chin."""

import torch
from torch import Tensor

from dataset.synthetic.head import HALF_HEIGHT, HALF_WIDTH, MIDDLE, Surface
from dataset.synthetic.strokes import Rows, bump, inside, mix, over

_HAIR = ((0.05, 0.04, 0.04), (0.13, 0.08, 0.06), (0.26, 0.16, 0.10), (0.42, 0.24, 0.13), (0.72, 0.55, 0.33))


def hair_colour(person: Rows) -> Tensor:
    """Return (B, 3, 1, 1): what one is born with, greyed by age."""
    natural = mix(_HAIR, person["hair"] * (1 - 0.75 * (person["skin"] > 0.45)))
    grey = ((person["grey"] - 0.72) * 2.6).clamp(0, 0.8) * person["age"].sqrt()
    return natural + grey * (0.62 - natural)


def hair_behind(picture: Tensor, surface: Surface, person: Rows, hair: Tensor, strands: Tensor) -> Tensor:
    """Draw the hair behind the head."""
    volume = person["hair_volume"] + 0.08 * (person["style"] > 0.55)
    x, y = surface.screen_x / HALF_WIDTH, (surface.screen_y - MIDDLE) / HALF_HEIGHT
    # Below the temples, long hair hangs straight down.
    around = (x**2 + torch.where(y > 0, y * 0.45, y) ** 2).sqrt() + 0.012 * strands
    mask = inside((around - volume) * 50, 2.5) * inside(surface.screen_y - _length(person) - 3 * strands, 5)
    return over(picture, hair * (0.62 + 0.16 * strands), mask * _haired(person))


def hair_before(
    picture: Tensor, surface: Surface, person: Rows, hair: Tensor, strands: Tensor, light: Tensor
) -> Tensor:
    """Draw the hair in front: above the hairline, and down the temples."""
    u, v = surface.u, surface.v
    fringe = 14 * (person["style"] > 0.8) - 22 * (person["bald"] - 0.8).clamp(min=0) * (person["style"] < 0.55)
    parted = ((u - person["hair_part"]) / 32) ** 2
    ragged = 0.7 + 1.1 * (person["style"] > 0.8)
    line = person["hairline"] + fringe + person["hairline_curve"] * parted + 16 * (u / 37) ** 4 + ragged * strands
    temples = person["cheek_width"] - 3.5 - 0.05 * (v + 34).clamp(min=0) + 1.2 * strands
    above = inside(v - line, 5)
    beside = inside(temples - u.abs(), 3) * inside(v - _length(person), 7)
    within = inside((surface.limb - person["hair_volume"]) * 50 + 0.6 * strands, 2.5)
    mask = torch.maximum(above, beside) * within * _haired(person)
    shine = 0.75 + 0.17 * strands + 0.35 * bump(u, v, 0, line - 13, 30, 5)
    return over(picture, hair * shine * (0.45 + 0.62 * light), mask)


def _length(person: Rows) -> Tensor:
    """Return how far down the hair falls at the sides: short for the lower half of the styles, else long."""
    style = person["style"]
    return torch.where(style < 0.55, -22 + 26 * style, 10 + 130 * (style - 0.55))


def _haired(person: Rows) -> Tensor:
    """Return 0 for the bald, 1 for others."""
    return 1 - ((person["bald"] > 0.93) & (person["style"] < 0.55)).float()


def brow(
    face: Tensor, surface: Surface, person: Rows, photo: Rows, hair: Tensor, strands: Tensor, side: float
) -> Tensor:
    """Draw the brow of one side (-1 left, 1 right)."""
    out = surface.u * side - person["eye_spacing"]
    along = out / person["brow_width"]
    height = person["brow_height"] - photo["brow_raise"].clamp(min=-1)
    line = height - person["brow_arch"] * (1 - (along - 0.25) ** 2) + person["brow_slant"] * out + 1.2
    thickness = person["brow_thickness"] * (1.15 - 0.5 * along).clamp(min=0.25)
    mask = inside((surface.v - line).abs() - thickness, 1.8) * inside(along.abs() - 1, 0.25)
    return over(face, hair * 0.8, mask * (0.74 + 0.14 * strands).clamp(0, 0.95))


def beard(face: Tensor, surface: Surface, person: Rows, hair: Tensor, noise: Tensor) -> Tensor:
    """Grow what about half of the people have: stubble, a moustache, a beard; long hair goes without."""
    u, v = surface.u, surface.v
    side, mouth = u.abs(), person["mouth_height"]
    bearded = (person["style"] < 0.55).float()
    full = ((person["beard"] - 0.5).clamp(min=0) * 1.9).clamp(max=0.88) * bearded
    upper = ((person["moustache"] - 0.55).clamp(min=0) * 2.0).clamp(max=0.85) * bearded
    edge = mouth - 14 + 0.013 * (side - 34) ** 2
    jaw = inside(edge - v, 7) * (1 - inside(((u / 17) ** 2 + ((v - mouth) / 8.5) ** 2).sqrt() * 9 - 9, 5))
    lip = bump(side, v, 6, mouth - 5.2 + 0.012 * u**2, 8.5, 2.4)
    lips = bump(u, v, 0, mouth + 1, 12, 3.6)
    mask = torch.maximum(full * jaw, torch.maximum(upper, 0.8 * full) * lip * 1.1) * (1 - 0.9 * lips)
    return over(face, hair * 0.9 + 0.02, (mask * (0.96 + 0.12 * noise)).clamp(0, 0.93))
