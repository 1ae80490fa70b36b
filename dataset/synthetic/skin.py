"""The skin of a portrait: complexion, folds, ears, neck."""

import torch
from torch import Tensor

from dataset.synthetic.head import Surface, mouth_width
from dataset.synthetic.strokes import Rows, bump, fade, inside, mix, over

_SKIN = ((0.97, 0.82, 0.73), (0.91, 0.70, 0.57), (0.76, 0.54, 0.40), (0.55, 0.36, 0.25), (0.34, 0.21, 0.15))


def skin_colour(person: Rows) -> Tensor:
    """Return (B, 3, 1, 1)."""
    return mix(_SKIN, person["skin"])


def complexion(surface: Surface, person: Rows, skin: Tensor, noise: Tensor) -> Tensor:
    """Return the colour of the bare skin: blush, shadows under the eyes, freckles, moles."""
    u, v = surface.u, surface.v
    side = u.abs()
    blush = bump(side, v, 24, 12, 11, 9) + 0.7 * bump(u, v, 0, person["nose_tip"], 8, 6)
    red = torch.tensor([0.03, -0.035, -0.03], device=u.device)[:, None, None]
    face = skin + blush * red + 0.016 * noise
    tired = bump(side, v, person["eye_spacing"] - 1, person["eye_height"] + 6, 8, 3) * (0.06 + 0.1 * person["age"])
    face = face * (1 - tired)
    freckled = (person["freckles"] - 0.75).clamp(min=0) * 2.2
    face = face * (1 - freckled * (noise - 0.7).clamp(0, 1) * bump(side, v, 14, 6, 20, 12))
    for right, down, size in (mole.unbind(-1) for mole in person["moles"].unbind(1)):
        where = [64 * (right - 0.5), 84 * (down - 0.45), (1.6 * size - 0.2).clamp(min=0)]
        x, y, radius = (value[:, None] for value in where)
        face = face * (1 - 0.62 * inside(((u - x) ** 2 + (v - y) ** 2).sqrt() - radius, 0.9) * (radius > 0.3))
    return face


def folds(face: Tensor, surface: Surface, person: Rows, photo: Rows) -> Tensor:
    """Draw the folds beside the mouth and the lines of the forehead."""
    side, v = surface.u.abs(), surface.v
    start, end = person["nose_tip"] + 1, person["mouth_height"] + 3
    along = ((v - start) / (end - start)).clamp(0, 1)
    line = person["nose_width"] + 2.5 + along**1.4 * (mouth_width(person, photo) - person["nose_width"] + 3)
    depth = 0.02 + 0.13 * person["age"] ** 2 + 0.12 * photo["smile"].clamp(0, 1)
    strength = depth * inside((v - (start + end) / 2).abs() - (end - start) / 2, 5)
    face = face * (1 - strength * fade(((side - line) / 1.7) ** 2))
    waves = torch.cos((v - 0.004 * side**2) * 1.25).clamp(min=0) ** 3
    lined = (person["age"] - 0.5).clamp(min=0) * 0.3 * bump(surface.u, v, 0, -38, 19, 8)
    return face * (1 - lined * waves)


def ears(picture: Tensor, surface: Surface, person: Rows, colour: Tensor) -> Tensor:
    """Draw the ears, before the face is laid over where they begin."""
    side = surface.u.abs()
    distance = (((side - person["cheek_width"] - 1.5) / 5) ** 2 + ((surface.v + 6) / (13 * person["ear"])) ** 2).sqrt()
    mask = inside((distance - 1) * 6, 1.5)
    inner = 1 - 0.35 * bump(side, surface.v, person["cheek_width"] + 2, -6, 2.2, 7)
    return over(picture, colour * inner * 0.9, mask)


def body(picture: Tensor, surface: Surface, person: Rows, photo: Rows, skin: Tensor) -> Tensor:
    """Draw neck and clothes below the chin."""
    x, y = surface.screen_x, surface.screen_y
    chin = person["chin"]
    neck = inside(x.abs() - 27 - 0.02 * (y - chin).clamp(min=0) ** 2, 2) * inside(chin - 26 - y, 3)
    shadow = 0.5 + 0.012 * (y - chin).clamp(0, 25)
    picture = over(picture, skin * shadow, neck)
    collar = chin + 13 - 0.007 * x**2
    return over(picture, photo["clothes"] * 0.6 + 0.08, inside(collar - y, 2))
