"""Eyes, nose and mouth of a portrait, and what is worn before them."""

import torch
from torch import Tensor

from dataset.synthetic.head import Surface, mouth_width
from dataset.synthetic.strokes import Rows, bump, fade, inside, mix, over

_IRIS = ((0.13, 0.07, 0.04), (0.28, 0.16, 0.08), (0.36, 0.30, 0.14), (0.28, 0.40, 0.33), (0.32, 0.46, 0.62))


def eye(face: Tensor, surface: Surface, person: Rows, photo: Rows, side: float) -> Tensor:
    """Draw the eye of one side (-1 left, 1 right): lids, ball, iris, lashes."""
    width = person["eye_width"]
    out = surface.u * side - person["eye_spacing"]
    down = surface.v - person["eye_height"] + person["eye_tilt"] * out
    blink = (photo["lids"] * 9 - 0.25).clamp(0.12, 1) * (1 - 0.22 * photo["smile"].clamp(0, 1))
    arch = (1 - (out / width) ** 2).clamp(min=-1)
    skewed = arch * (1 + person["eye_skew"] * (out / width).clamp(-1, 1))
    top = -1.15 * person["eye_opening"] * blink * skewed
    bottom = 0.72 * person["eye_opening"] * (0.5 + 0.5 * blink) * arch
    face = face * (1 - 0.16 * bump(out, down, 0, top - 1.2, width * 0.9, 2.4))
    crease = bump(out, down, 0, top - person["lid_crease"], width * 0.8, 0.8)
    face = face * (1 - 0.3 * crease) * (1 - 0.14 * bump(out, down, 0, bottom + 1.3, width * 0.8, 0.9))
    opening = inside(torch.maximum(top - down, down - bottom), 0.9)
    white = torch.tensor([0.90, 0.87, 0.85], device=out.device)[:, None, None]
    ball = white * (1 - 0.4 * fade(((down - top) / 1.5) ** 2) - 0.2 * (out / width) ** 2)
    radius = person["iris_radius"]
    x, y = out - photo["gaze_x"] * side, down + 0.35 - photo["gaze_y"]
    distance = (x**2 + y**2).sqrt()
    iris = mix(_IRIS, person["iris"] * (1 - 0.8 * (person["skin"] > 0.45))) * (
        1.15 - 0.55 * (distance / radius) ** 3
    ).clamp(min=0.3)
    ball = over(ball, iris, inside(distance - radius, 0.8))
    ball = over(ball, torch.full_like(white, 0.03), inside(distance - 0.42 * radius, 0.6))
    ball = ball + 0.75 * bump(x, y, -1.1 * side, -1.1, 0.75, 0.75)
    face = over(face, ball, opening)
    lash = fade(((down - top + 0.2) / 0.75) ** 2) * inside(out.abs() - width, 1.4)
    return face * (1 - 0.78 * lash)


def mouth(face: Tensor, surface: Surface, person: Rows, photo: Rows, skin: Tensor) -> Tensor:
    """Draw the lips, and teeth where the mouth is open."""
    u, v = surface.u, surface.v
    width = mouth_width(person, photo)
    across = (u / width) ** 2
    arch = (1 - across).clamp(min=0)
    smile = photo["smile"]
    line = person["mouth_height"] - 3.4 * smile * (across - 0.35) - 0.8 * person["cupid"] * fade((u / 3) ** 2)
    gap = (photo["mouth_open"] - 0.45).clamp(min=0) * 11 * arch**0.6
    notch = 1 - person["cupid"] * fade((u / 2.4) ** 2)
    thin = 1 - 0.22 * smile.clamp(0, 1)
    top = line - gap / 2 - person["upper_lip"] * thin * arch**0.75 * notch
    bottom = line + gap / 2 + person["lower_lip"] * thin * arch**0.6
    between = arch > 0
    lips = inside(torch.maximum(top - v, v - bottom), 1.2) * between
    red = torch.tensor([0.74, 0.30, 0.30], device=u.device)[:, None, None] * (0.35 + 0.65 * skin[:, :1])
    colour = skin * 0.88 + person["lip_redness"] * 1.2 * (red - skin * 0.88)
    shade = 1 - 0.14 * (line - v).clamp(0, 2) / 2 + 0.10 * bump(u, v, 0, bottom - 1.6, 6, 1.3)
    face = over(face, colour * shade, lips)
    hollow = inside(torch.maximum(line - gap / 2 - v, v - line - gap / 2), 0.9) * (gap > 0.4)
    face = over(face, torch.tensor([0.16, 0.05, 0.05], device=u.device)[:, None, None], hollow)
    teeth = hollow * inside(v - (line - gap / 2 + 2.6 + 0.8 * smile), 1.0) * (0.5 + 0.5 * arch)
    face = over(face, torch.tensor([0.90, 0.87, 0.82], device=u.device)[:, None, None], teeth * 0.95)
    seam = fade(((v - line) / 0.75) ** 2) * inside(u.abs() - width - 0.4, 1.4) * (gap <= 0.4)
    corner = bump(u.abs(), v, width, line, 1.7, 1.3)
    under = bump(u, v, 0, bottom + 2.2, 8, 1.8)
    return face * (1 - 0.6 * seam) * (1 - 0.4 * corner) * (1 - 0.13 * under)


def nostrils(face: Tensor, surface: Surface, person: Rows) -> Tensor:
    """Draw the nostrils, the wings of the nose and the shadow below it."""
    u, v = surface.u, surface.v
    side, tip, wide = u.abs(), person["nose_tip"], person["nose_width"]
    hole = bump(side, v - 0.12 * side, 0.5 * wide, tip + 3.6, 0.26 * wide, 1.25)
    wing = bump(side, v, 1.05 * wide, tip + 1.6, 1.1, 3.2)
    below = bump(u, v, 0, tip + 5.6, 0.8 * wide, 1.8)
    return face * (1 - 0.6 * hole) * (1 - 0.16 * wing) * (1 - 0.1 * below)


def glasses(picture: Tensor, surface: Surface, person: Rows, photo: Rows) -> Tensor:
    """Put glasses on the fifth of the people who have some, in most of their photographs."""
    worn = ((person["glasses"] < 0.2) & (photo["wears"] < 0.8)).float()
    side, v = surface.u.abs(), surface.v - person["eye_height"] - 1
    style = person["glasses"] * 5
    half_width, half_height = 12.2 + 1.6 * style, 7.5 + 3 * style
    power = 2.4 + 3 * (1 - style)
    ring = (((side - person["eye_spacing"]).abs() / half_width) ** power + (v.abs() / half_height) ** power) ** (
        1 / power
    )
    rim = inside(((ring - 1).abs() * half_height) - 0.75, 0.9)
    bridge = inside((v + 2.5).abs() - 0.7, 0.9) * inside(side - person["eye_spacing"] + half_width, 1)
    arm = inside((v + 2.5).abs() - 0.8, 0.9) * inside(person["eye_spacing"] + half_width - side, 1)
    mask = torch.maximum(rim, torch.maximum(bridge, arm)) * inside((surface.limb - 1) * 50, 1.5)
    return over(picture, torch.full_like(worn, 0.1) + 0.25 * (person["grey"] > 0.6), 0.92 * mask * worn)
