"""The head of a portrait: its pose and alignment, where on it each pixel looks, its relief and how that takes light."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.synthetic.strokes import Rows, bump, fade, inside, unit

HALF_WIDTH, HALF_HEIGHT, _DEPTH, MIDDLE = 47.0, 66.0, 56.0, -10.0
"""The head is an ellipsoid, turned as if it were a sphere; its middle lies a little above the face's."""


@dataclass(frozen=True)
class Surface:
    """Where on the head each pixel looks."""

    u: Tensor
    v: Tensor
    screen_x: Tensor
    screen_y: Tensor
    limb: Tensor
    """Distance from the middle of the head's outline: 1 on the outline."""
    normal: Tensor
    """(B, 3, S, S): right, down, towards the viewer."""
    pixel: Tensor
    """Size of a screen pixel."""


def look(person: Rows, photo: Rows, size_px: int) -> Surface:
    """Turn the head, align it by its five landmarks as photographs are aligned, and follow each pixel to the head."""
    turn = _rotation(photo["yaw"], photo["pitch"])
    scale_sin, scale_cos, shift = _alignment(_landmarks(person, photo) @ turn.transpose(1, 2), photo)
    axis = (torch.arange(size_px, device=turn.device) + 0.5) * (112 / size_px) - 0.5
    right, down = axis.expand(size_px, -1) - shift[:, :1, :, None], axis[:, None] - shift[:, 1:, :, None]
    squared = scale_cos**2 + scale_sin**2
    screen_x = (scale_cos * right + scale_sin * down) / squared
    screen_y = (scale_cos * down - scale_sin * right) / squared
    x, y = screen_x / HALF_WIDTH, (screen_y - MIDDLE) / HALF_HEIGHT
    limb = (x**2 + y**2).sqrt()
    z = (1 - limb**2).clamp(min=0.0004).sqrt()
    on_head = torch.einsum("bij,bihw->bjhw", turn, torch.cat([x, y, z], 1))
    u, v = on_head[:, :1] * HALF_WIDTH, on_head[:, 1:2] * HALF_HEIGHT + MIDDLE
    # The nose stands out, so it shifts against the face when the head turns.
    height = person["nose_depth"] * bump(u, v, 0, person["nose_tip"] - 3, 7, 11)
    u = u - photo["yaw"].sin() * height
    v = v + photo["pitch"].sin() * height
    normal = unit(torch.cat([x / HALF_WIDTH, y / HALF_HEIGHT, z / _DEPTH], 1))
    return Surface(u, v, screen_x, screen_y, limb, normal, squared.rsqrt() * 112 / size_px)


def _rotation(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Return (B, 3, 3): yaw about the vertical, then pitch about the horizontal axis."""
    yaw, pitch = yaw[:, 0, 0, 0], pitch[:, 0, 0, 0]
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    about_vertical = torch.stack([yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos()], 1)
    across = torch.stack([one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos()], 1)
    return across.reshape(-1, 3, 3) @ about_vertical.reshape(-1, 3, 3)


def _landmarks(person: Rows, photo: Rows) -> Tensor:
    """Return (B, 5, 3): eyes, nose and corners of the mouth in space, from the middle of the head."""
    spacing, mouth = person["eye_spacing"], mouth_width(person, photo)
    rows = (
        (-spacing, person["eye_height"], 0.0),
        (spacing, person["eye_height"], 0.0),
        (torch.zeros_like(spacing), person["nose_tip"], person["nose_depth"]),
        (-mouth, person["mouth_height"], 0.0),
        (mouth, person["mouth_height"], 0.0),
    )
    points = []
    for right, down, out in rows:
        x, y = right / HALF_WIDTH, (down - MIDDLE) / HALF_HEIGHT
        z = (1 - x**2 - y**2).clamp(min=0).sqrt() * _DEPTH + out
        points.append(torch.cat([right, down - MIDDLE, z], 1)[:, :, 0, 0])
    return torch.stack(points, 1)


def _alignment(points: Tensor, photo: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Fit turned landmarks to the template; return scale * sine, scale * cosine (B, 1, 1, 1) and shift (B, 2, 1)."""
    target = torch.tensor(ARCFACE_TEMPLATE, dtype=points.dtype, device=points.device)
    flat = points[:, :, :2] + torch.tensor([0.0, MIDDLE], device=points.device)
    source = flat - flat.mean(1, keepdim=True)
    aim = target - target.mean(0)
    power = (source**2).sum((1, 2))
    cosine = (source * aim).sum((1, 2)) / power
    sine = (source[:, :, 0] * aim[:, 1] - source[:, :, 1] * aim[:, 0]).sum(1) / power
    roll = photo["roll"][:, 0, 0, 0]
    sine, cosine = sine * roll.cos() + cosine * roll.sin(), cosine * roll.cos() - sine * roll.sin()
    middle = flat.mean(1)
    turned = torch.stack([cosine * middle[:, 0] - sine * middle[:, 1], sine * middle[:, 0] + cosine * middle[:, 1]], 1)
    offset = torch.cat([photo["offset_x"], photo["offset_y"]], 1)[:, :, 0, 0]
    shift = target.mean(0) - turned + offset
    return sine[:, None, None, None], cosine[:, None, None, None], shift[:, :, None]


def mouth_width(person: Rows, photo: Rows) -> Tensor:
    """Return half of it: a smile widens a mouth."""
    return person["mouth_width"] * (1 + 0.14 * photo["smile"].clamp(min=-0.3))


def relief(surface: Surface, person: Rows, photo: Rows) -> Tensor:
    """Return the height of the features over the ellipsoid, in pixels."""
    u, v = surface.u, surface.v
    side = u.abs()
    spacing, eye, tip, wide = person["eye_spacing"], person["eye_height"], person["nose_tip"], person["nose_width"]
    ramp = ((v - eye) / (tip - eye)).clamp(0, 1)
    ridge = person["nose_depth"] * ramp * fade((u / person["nose_ridge"]) ** 2) * inside(v - tip - 1, 8)
    height = ridge + 3.2 * bump(u, v, 0, tip, 5.2, 4.6) + 2.6 * bump(side, v, 0.72 * wide, tip + 2.2, 3, 3)
    height = height - 3.4 * bump(side, v, spacing - 1, eye - 1, 10, 6.5)
    height = height + person["brow_ridge"] * bump(side, v, spacing, person["brow_height"], 12, 4)
    height = height + 1.4 * bump(side, v, spacing, eye, 7.5, 4.5)
    cheek = person["cheekbone"] + 1.8 * photo["smile"].clamp(min=0)
    height = height + cheek * bump(side, v, 25, tip + 3, 12, 10)
    mouth = person["mouth_height"]
    height = height + 2.2 * bump(u, v, 0, mouth, 13, 7) - 0.8 * bump(u, v, 0, mouth - 8, 2.2, 4)
    return height + person["chin_bump"] * bump(u, v, 0, person["chin"] - 8, 9, 6) - bump(u, v, 0, mouth + 8, 9, 2.5)


def illuminate(surface: Surface, photo: Rows, relief: Tensor) -> Tensor:
    """Return how much light each pixel of the head reflects: Lambert's law over the relief, plus the surroundings."""
    slope_x = F.pad(relief[..., 1:] - relief[..., :-1], (0, 1)) / surface.pixel
    slope_y = F.pad(relief[..., 1:, :] - relief[..., :-1, :], (0, 0, 0, 1)) / surface.pixel
    bent = surface.normal - torch.cat([slope_x, slope_y, torch.zeros_like(slope_x)], 1) * surface.normal[:, 2:]
    bent = unit(bent)
    source = unit(torch.cat([photo["light_x"], photo["light_y"], torch.ones_like(photo["light_x"])], 1))
    direct = (bent * source).sum(1, keepdim=True).clamp(min=0)
    ambient = 0.34 + 0.3 * photo["ambient"]
    sky = 1 - 0.12 * bent[:, 1:2]
    return ambient * sky + (1.06 - ambient) * direct


def gloss(surface: Surface, photo: Rows, light: Tensor) -> Tensor:
    """Return the sheen of skin where the light is strongest."""
    return 0.22 * photo["shine"] * (light - 0.88).clamp(min=0)


def face_mask(surface: Surface, person: Rows) -> Tensor:
    """Return the outline of face and jaw."""
    lower = ((surface.v - 2) / (person["chin"] - 2)).clamp(0, 1.2)
    width = person["cheek_width"] * (1 - lower ** person["jaw_power"]).clamp(min=0) ** 0.62
    mask = inside(surface.u.abs() - width, 1.6) * inside(surface.v - person["chin"], 1.0)
    return mask * inside((surface.limb - 1) * 50, 1.6)
