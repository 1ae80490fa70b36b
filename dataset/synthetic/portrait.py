"""Draws the portrait of a synthetic person: a shaded head in a pose, its features, hair and surroundings.

Every quantity is a (B, 1, 1, 1) column of its batch or a (B, 1, S, S) plane, so that a batch is drawn at once.
Positions on the face, (u, v), are pixels right and down from its middle, seen from the front.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.views.random_streams import Draws

Rows = dict[str, Tensor]
"""Name to (B, 1, 1, 1)."""

_HALF_WIDTH, _HALF_HEIGHT, _DEPTH, _MIDDLE = 47.0, 66.0, 56.0, -10.0
"""The head is an ellipsoid, turned as if it were a sphere; its middle lies a little above the face's."""

_SKIN = ((0.97, 0.82, 0.73), (0.91, 0.70, 0.57), (0.76, 0.54, 0.40), (0.55, 0.36, 0.25), (0.34, 0.21, 0.15))
_HAIR = ((0.05, 0.04, 0.04), (0.13, 0.08, 0.06), (0.26, 0.16, 0.10), (0.42, 0.24, 0.13), (0.72, 0.55, 0.33))
_IRIS = ((0.13, 0.07, 0.04), (0.28, 0.16, 0.08), (0.36, 0.30, 0.14), (0.28, 0.40, 0.33), (0.32, 0.46, 0.62))


@dataclass(frozen=True)
class _Surface:
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


def portrait(person: Rows, photo: Rows, draws: Draws, size_px: int) -> Tensor:
    """Draw photographs.

    Args:
        person: Traits, as `dataset.synthetic.people` draws them.
        photo: Circumstances, likewise.
        draws: Random numbers for textures, one stream a photograph.
        size_px: Side of the picture.

    Returns:
        (B, 3, size_px, size_px) RGB in [0, 1], aligned on the ArcFace template.
    """
    surface = _look(person, photo, size_px)
    skin = _mix(_SKIN, person["skin"])
    hair = _hair_colour(person)
    strands = _texture(draws, 7, 70, size_px)
    skin_noise = _texture(draws, 44, 44, size_px)
    picture = _backdrop(photo, draws, size_px)
    picture = _hair_behind(picture, surface, person, hair, strands)
    picture = _body(picture, surface, person, photo, skin)
    light = _light(surface, photo, _relief(surface, person, photo))
    picture = _ears(picture, surface, person, skin * light)
    face = _complexion(surface, person, skin, skin_noise)
    face = _folds(face, surface, person, photo)
    face = _mouth(face, surface, person, photo, skin)
    face = _nostrils(face, surface, person)
    face = _beard(face, surface, person, hair, skin_noise)
    for side in (-1.0, 1.0):
        face = _eye(face, surface, person, photo, side)
        face = _brow(face, surface, person, photo, hair, strands, side)
    face = face * light + _gloss(surface, photo, light)
    picture = _over(picture, face, _face_mask(surface, person))
    picture = _glasses(picture, surface, person, photo)
    picture = _hair_before(picture, surface, person, hair, strands, light)
    return _develop(picture, photo)


def _look(person: Rows, photo: Rows, size_px: int) -> _Surface:
    """Turn the head, align it by its five landmarks as photographs are aligned, and follow each pixel to the head."""
    turn = _rotation(photo["yaw"], photo["pitch"])
    scale_sin, scale_cos, shift = _alignment(_landmarks(person, photo) @ turn.transpose(1, 2), photo)
    axis = (torch.arange(size_px, device=turn.device) + 0.5) * (112 / size_px) - 0.5
    right, down = axis.expand(size_px, -1) - shift[:, :1, :, None], axis[:, None] - shift[:, 1:, :, None]
    squared = scale_cos**2 + scale_sin**2
    screen_x = (scale_cos * right + scale_sin * down) / squared
    screen_y = (scale_cos * down - scale_sin * right) / squared
    x, y = screen_x / _HALF_WIDTH, (screen_y - _MIDDLE) / _HALF_HEIGHT
    limb = (x**2 + y**2).sqrt()
    z = (1 - limb**2).clamp(min=0.0004).sqrt()
    on_head = torch.einsum("bij,bihw->bjhw", turn, torch.cat([x, y, z], 1))
    u, v = on_head[:, :1] * _HALF_WIDTH, on_head[:, 1:2] * _HALF_HEIGHT + _MIDDLE
    # The nose stands out, so it shifts against the face when the head turns.
    height = person["nose_depth"] * _bump(u, v, 0, person["nose_tip"] - 3, 7, 11)
    u = u - photo["yaw"].sin() * height
    v = v + photo["pitch"].sin() * height
    normal = _unit(torch.cat([x / _HALF_WIDTH, y / _HALF_HEIGHT, z / _DEPTH], 1))
    return _Surface(u, v, screen_x, screen_y, limb, normal, squared.rsqrt() * 112 / size_px)


def _rotation(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Return (B, 3, 3): yaw about the vertical, then pitch about the horizontal axis."""
    yaw, pitch = yaw[:, 0, 0, 0], pitch[:, 0, 0, 0]
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    about_vertical = torch.stack([yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos()], 1)
    across = torch.stack([one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos()], 1)
    return across.reshape(-1, 3, 3) @ about_vertical.reshape(-1, 3, 3)


def _landmarks(person: Rows, photo: Rows) -> Tensor:
    """Return (B, 5, 3): eyes, nose and corners of the mouth in space, from the middle of the head."""
    spacing, mouth = person["eye_spacing"], _mouth_width(person, photo)
    rows = (
        (-spacing, person["eye_height"], 0.0),
        (spacing, person["eye_height"], 0.0),
        (torch.zeros_like(spacing), person["nose_tip"], person["nose_depth"]),
        (-mouth, person["mouth_height"], 0.0),
        (mouth, person["mouth_height"], 0.0),
    )
    points = []
    for right, down, out in rows:
        x, y = right / _HALF_WIDTH, (down - _MIDDLE) / _HALF_HEIGHT
        z = (1 - x**2 - y**2).clamp(min=0).sqrt() * _DEPTH + out
        points.append(torch.cat([right, down - _MIDDLE, z], 1)[:, :, 0, 0])
    return torch.stack(points, 1)


def _alignment(points: Tensor, photo: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Fit turned landmarks to the template; return scale * sine, scale * cosine (B, 1, 1, 1) and shift (B, 2, 1)."""
    target = torch.tensor(ARCFACE_TEMPLATE, dtype=points.dtype, device=points.device)
    flat = points[:, :, :2] + torch.tensor([0.0, _MIDDLE], device=points.device)
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


def _relief(surface: _Surface, person: Rows, photo: Rows) -> Tensor:
    """Return the height of the features over the ellipsoid, in pixels."""
    u, v = surface.u, surface.v
    side = u.abs()
    spacing, eye, tip, wide = person["eye_spacing"], person["eye_height"], person["nose_tip"], person["nose_width"]
    ramp = ((v - eye) / (tip - eye)).clamp(0, 1)
    ridge = person["nose_depth"] * ramp * _fade((u / person["nose_ridge"]) ** 2) * _inside(v - tip - 1, 8)
    height = ridge + 3.2 * _bump(u, v, 0, tip, 5.2, 4.6) + 2.6 * _bump(side, v, 0.72 * wide, tip + 2.2, 3, 3)
    height = height - 3.4 * _bump(side, v, spacing - 1, eye - 1, 10, 6.5)
    height = height + person["brow_ridge"] * _bump(side, v, spacing, person["brow_height"], 12, 4)
    height = height + 1.4 * _bump(side, v, spacing, eye, 7.5, 4.5)
    cheek = person["cheekbone"] + 1.8 * photo["smile"].clamp(min=0)
    height = height + cheek * _bump(side, v, 25, tip + 3, 12, 10)
    mouth = person["mouth_height"]
    height = height + 2.2 * _bump(u, v, 0, mouth, 13, 7) - 0.8 * _bump(u, v, 0, mouth - 8, 2.2, 4)
    return height + person["chin_bump"] * _bump(u, v, 0, person["chin"] - 8, 9, 6) - _bump(u, v, 0, mouth + 8, 9, 2.5)


def _light(surface: _Surface, photo: Rows, relief: Tensor) -> Tensor:
    """Return how much light each pixel of the head reflects: Lambert's law over the relief, plus the surroundings."""
    slope_x = F.pad(relief[..., 1:] - relief[..., :-1], (0, 1)) / surface.pixel
    slope_y = F.pad(relief[..., 1:, :] - relief[..., :-1, :], (0, 0, 0, 1)) / surface.pixel
    bent = surface.normal - torch.cat([slope_x, slope_y, torch.zeros_like(slope_x)], 1) * surface.normal[:, 2:]
    bent = _unit(bent)
    source = _unit(torch.cat([photo["light_x"], photo["light_y"], torch.ones_like(photo["light_x"])], 1))
    direct = (bent * source).sum(1, keepdim=True).clamp(min=0)
    ambient = 0.34 + 0.3 * photo["ambient"]
    sky = 1 - 0.12 * bent[:, 1:2]
    return ambient * sky + (1.06 - ambient) * direct


def _gloss(surface: _Surface, photo: Rows, light: Tensor) -> Tensor:
    """Return the sheen of skin where the light is strongest."""
    return 0.22 * photo["shine"] * (light - 0.88).clamp(min=0)


def _complexion(surface: _Surface, person: Rows, skin: Tensor, noise: Tensor) -> Tensor:
    """Return the colour of the bare skin: blush, shadows under the eyes, freckles, moles."""
    u, v = surface.u, surface.v
    side = u.abs()
    blush = _bump(side, v, 24, 12, 11, 9) + 0.7 * _bump(u, v, 0, person["nose_tip"], 8, 6)
    red = torch.tensor([0.03, -0.035, -0.03], device=u.device)[:, None, None]
    face = skin + blush * red + 0.016 * noise
    tired = _bump(side, v, person["eye_spacing"] - 1, person["eye_height"] + 6, 8, 3) * (0.06 + 0.1 * person["age"])
    face = face * (1 - tired)
    freckled = (person["freckles"] - 0.75).clamp(min=0) * 2.2
    face = face * (1 - freckled * (noise - 0.7).clamp(0, 1) * _bump(side, v, 14, 6, 20, 12))
    for right, down, size in (mole.unbind(-1) for mole in person["moles"].unbind(1)):
        where = [64 * (right - 0.5), 84 * (down - 0.45), (1.6 * size - 0.2).clamp(min=0)]
        x, y, radius = (value[:, None] for value in where)
        face = face * (1 - 0.62 * _inside(((u - x) ** 2 + (v - y) ** 2).sqrt() - radius, 0.9) * (radius > 0.3))
    return face


def _folds(face: Tensor, surface: _Surface, person: Rows, photo: Rows) -> Tensor:
    """Draw the folds beside the mouth and the lines of the forehead."""
    side, v = surface.u.abs(), surface.v
    start, end = person["nose_tip"] + 1, person["mouth_height"] + 3
    along = ((v - start) / (end - start)).clamp(0, 1)
    line = person["nose_width"] + 2.5 + along**1.4 * (_mouth_width(person, photo) - person["nose_width"] + 3)
    depth = 0.02 + 0.13 * person["age"] ** 2 + 0.12 * photo["smile"].clamp(0, 1)
    strength = depth * _inside((v - (start + end) / 2).abs() - (end - start) / 2, 5)
    face = face * (1 - strength * _fade(((side - line) / 1.7) ** 2))
    waves = torch.cos((v - 0.004 * side**2) * 1.25).clamp(min=0) ** 3
    lined = (person["age"] - 0.5).clamp(min=0) * 0.3 * _bump(surface.u, v, 0, -38, 19, 8)
    return face * (1 - lined * waves)


def _mouth_width(person: Rows, photo: Rows) -> Tensor:
    return person["mouth_width"] * (1 + 0.14 * photo["smile"].clamp(min=-0.3))


def _mouth(face: Tensor, surface: _Surface, person: Rows, photo: Rows, skin: Tensor) -> Tensor:
    u, v = surface.u, surface.v
    width = _mouth_width(person, photo)
    across = (u / width) ** 2
    arch = (1 - across).clamp(min=0)
    smile = photo["smile"]
    line = person["mouth_height"] - 3.4 * smile * (across - 0.35) - 0.8 * person["cupid"] * _fade((u / 3) ** 2)
    gap = (photo["mouth_open"] - 0.45).clamp(min=0) * 11 * arch**0.6
    notch = 1 - person["cupid"] * _fade((u / 2.4) ** 2)
    thin = 1 - 0.22 * smile.clamp(0, 1)
    top = line - gap / 2 - person["upper_lip"] * thin * arch**0.75 * notch
    bottom = line + gap / 2 + person["lower_lip"] * thin * arch**0.6
    inside = arch > 0
    lips = _inside(torch.maximum(top - v, v - bottom), 1.2) * inside
    red = torch.tensor([0.74, 0.30, 0.30], device=u.device)[:, None, None] * (0.35 + 0.65 * skin[:, :1])
    colour = skin * 0.88 + person["lip_redness"] * 1.2 * (red - skin * 0.88)
    shade = 1 - 0.14 * (line - v).clamp(0, 2) / 2 + 0.10 * _bump(u, v, 0, bottom - 1.6, 6, 1.3)
    face = _over(face, colour * shade, lips)
    hollow = _inside(torch.maximum(line - gap / 2 - v, v - line - gap / 2), 0.9) * (gap > 0.4)
    face = _over(face, torch.tensor([0.16, 0.05, 0.05], device=u.device)[:, None, None], hollow)
    teeth = hollow * _inside(v - (line - gap / 2 + 2.6 + 0.8 * smile), 1.0) * (0.5 + 0.5 * arch)
    face = _over(face, torch.tensor([0.90, 0.87, 0.82], device=u.device)[:, None, None], teeth * 0.95)
    seam = _fade(((v - line) / 0.75) ** 2) * _inside(u.abs() - width - 0.4, 1.4) * (gap <= 0.4)
    corner = _bump(u.abs(), v, width, line, 1.7, 1.3)
    under = _bump(u, v, 0, bottom + 2.2, 8, 1.8)
    return face * (1 - 0.6 * seam) * (1 - 0.4 * corner) * (1 - 0.13 * under)


def _nostrils(face: Tensor, surface: _Surface, person: Rows) -> Tensor:
    u, v = surface.u, surface.v
    side, tip, wide = u.abs(), person["nose_tip"], person["nose_width"]
    hole = _bump(side, v - 0.12 * side, 0.5 * wide, tip + 3.6, 0.26 * wide, 1.25)
    wing = _bump(side, v, 1.05 * wide, tip + 1.6, 1.1, 3.2)
    below = _bump(u, v, 0, tip + 5.6, 0.8 * wide, 1.8)
    return face * (1 - 0.6 * hole) * (1 - 0.16 * wing) * (1 - 0.1 * below)


def _eye(face: Tensor, surface: _Surface, person: Rows, photo: Rows, side: float) -> Tensor:
    width = person["eye_width"]
    out = surface.u * side - person["eye_spacing"]
    down = surface.v - person["eye_height"] + person["eye_tilt"] * out
    blink = (photo["lids"] * 9 - 0.25).clamp(0.12, 1) * (1 - 0.22 * photo["smile"].clamp(0, 1))
    arch = (1 - (out / width) ** 2).clamp(min=-1)
    skewed = arch * (1 + person["eye_skew"] * (out / width).clamp(-1, 1))
    top = -1.15 * person["eye_opening"] * blink * skewed
    bottom = 0.72 * person["eye_opening"] * (0.5 + 0.5 * blink) * arch
    face = face * (1 - 0.16 * _bump(out, down, 0, top - 1.2, width * 0.9, 2.4))
    crease = _bump(out, down, 0, top - person["lid_crease"], width * 0.8, 0.8)
    face = face * (1 - 0.3 * crease) * (1 - 0.14 * _bump(out, down, 0, bottom + 1.3, width * 0.8, 0.9))
    opening = _inside(torch.maximum(top - down, down - bottom), 0.9)
    white = torch.tensor([0.90, 0.87, 0.85], device=out.device)[:, None, None]
    ball = white * (1 - 0.4 * _fade(((down - top) / 1.5) ** 2) - 0.2 * (out / width) ** 2)
    radius = person["iris_radius"]
    x, y = out - photo["gaze_x"] * side, down + 0.35 - photo["gaze_y"]
    distance = (x**2 + y**2).sqrt()
    iris = _mix(_IRIS, person["iris"] * (1 - 0.8 * (person["skin"] > 0.45))) * (
        1.15 - 0.55 * (distance / radius) ** 3
    ).clamp(min=0.3)
    ball = _over(ball, iris, _inside(distance - radius, 0.8))
    ball = _over(ball, torch.full_like(white, 0.03), _inside(distance - 0.42 * radius, 0.6))
    ball = ball + 0.75 * _bump(x, y, -1.1 * side, -1.1, 0.75, 0.75)
    face = _over(face, ball, opening)
    lash = _fade(((down - top + 0.2) / 0.75) ** 2) * _inside(out.abs() - width, 1.4)
    return face * (1 - 0.78 * lash)


def _brow(
    face: Tensor, surface: _Surface, person: Rows, photo: Rows, hair: Tensor, strands: Tensor, side: float
) -> Tensor:
    out = surface.u * side - person["eye_spacing"]
    along = out / person["brow_width"]
    height = person["brow_height"] - photo["brow_raise"].clamp(min=-1)
    line = height - person["brow_arch"] * (1 - (along - 0.25) ** 2) + person["brow_slant"] * out + 1.2
    thickness = person["brow_thickness"] * (1.15 - 0.5 * along).clamp(min=0.25)
    mask = _inside((surface.v - line).abs() - thickness, 1.8) * _inside(along.abs() - 1, 0.25)
    return _over(face, hair * 0.8, mask * (0.74 + 0.14 * strands).clamp(0, 0.95))


def _beard(face: Tensor, surface: _Surface, person: Rows, hair: Tensor, noise: Tensor) -> Tensor:
    """Grow what about half of the people have: stubble, a moustache, a beard; long hair goes without."""
    u, v = surface.u, surface.v
    side, mouth = u.abs(), person["mouth_height"]
    bearded = (person["style"] < 0.55).float()
    full = ((person["beard"] - 0.5).clamp(min=0) * 1.9).clamp(max=0.88) * bearded
    upper = ((person["moustache"] - 0.55).clamp(min=0) * 2.0).clamp(max=0.85) * bearded
    edge = mouth - 14 + 0.013 * (side - 34) ** 2
    jaw = _inside(edge - v, 7) * (1 - _inside(((u / 17) ** 2 + ((v - mouth) / 8.5) ** 2).sqrt() * 9 - 9, 5))
    lip = _bump(side, v, 6, mouth - 5.2 + 0.012 * u**2, 8.5, 2.4)
    lips = _bump(u, v, 0, mouth + 1, 12, 3.6)
    mask = torch.maximum(full * jaw, torch.maximum(upper, 0.8 * full) * lip * 1.1) * (1 - 0.9 * lips)
    return _over(face, hair * 0.9 + 0.02, (mask * (0.96 + 0.12 * noise)).clamp(0, 0.93))


def _face_mask(surface: _Surface, person: Rows) -> Tensor:
    """Return the outline of face and jaw."""
    lower = ((surface.v - 2) / (person["chin"] - 2)).clamp(0, 1.2)
    width = person["cheek_width"] * (1 - lower ** person["jaw_power"]).clamp(min=0) ** 0.62
    inside = _inside(surface.u.abs() - width, 1.6) * _inside(surface.v - person["chin"], 1.0)
    return inside * _inside((surface.limb - 1) * 50, 1.6)


def _ears(picture: Tensor, surface: _Surface, person: Rows, colour: Tensor) -> Tensor:
    side = surface.u.abs()
    distance = (((side - person["cheek_width"] - 1.5) / 5) ** 2 + ((surface.v + 6) / (13 * person["ear"])) ** 2).sqrt()
    mask = _inside((distance - 1) * 6, 1.5)
    inner = 1 - 0.35 * _bump(side, surface.v, person["cheek_width"] + 2, -6, 2.2, 7)
    return _over(picture, colour * inner * 0.9, mask)


def _body(picture: Tensor, surface: _Surface, person: Rows, photo: Rows, skin: Tensor) -> Tensor:
    """Draw neck and clothes below the chin."""
    x, y = surface.screen_x, surface.screen_y
    chin = person["chin"]
    neck = _inside(x.abs() - 27 - 0.02 * (y - chin).clamp(min=0) ** 2, 2) * _inside(chin - 26 - y, 3)
    shadow = 0.5 + 0.012 * (y - chin).clamp(0, 25)
    picture = _over(picture, skin * shadow, neck)
    collar = chin + 13 - 0.007 * x**2
    return _over(picture, photo["clothes"] * 0.6 + 0.08, _inside(collar - y, 2))


def _length(person: Rows) -> Tensor:
    """Return how far down the hair falls at the sides: short for the lower half of the styles, else long."""
    style = person["style"]
    return torch.where(style < 0.55, -22 + 26 * style, 10 + 130 * (style - 0.55))


def _hair_behind(picture: Tensor, surface: _Surface, person: Rows, hair: Tensor, strands: Tensor) -> Tensor:
    volume = person["hair_volume"] + 0.08 * (person["style"] > 0.55)
    x, y = surface.screen_x / _HALF_WIDTH, (surface.screen_y - _MIDDLE) / _HALF_HEIGHT
    # Below the temples, long hair hangs straight down.
    around = (x**2 + torch.where(y > 0, y * 0.45, y) ** 2).sqrt() + 0.012 * strands
    mask = _inside((around - volume) * 50, 2.5) * _inside(surface.screen_y - _length(person) - 3 * strands, 5)
    return _over(picture, hair * (0.62 + 0.16 * strands), mask * _haired(person))


def _hair_before(
    picture: Tensor, surface: _Surface, person: Rows, hair: Tensor, strands: Tensor, light: Tensor
) -> Tensor:
    """Draw the hair in front: above the hairline, and down the temples."""
    u, v = surface.u, surface.v
    fringe = 14 * (person["style"] > 0.8) - 22 * (person["bald"] - 0.8).clamp(min=0) * (person["style"] < 0.55)
    parted = ((u - person["hair_part"]) / 32) ** 2
    ragged = 0.7 + 1.1 * (person["style"] > 0.8)
    line = person["hairline"] + fringe + person["hairline_curve"] * parted + 16 * (u / 37) ** 4 + ragged * strands
    temples = person["cheek_width"] - 3.5 - 0.05 * (v + 34).clamp(min=0) + 1.2 * strands
    above = _inside(v - line, 5)
    beside = _inside(temples - u.abs(), 3) * _inside(v - _length(person), 7)
    within = _inside((surface.limb - person["hair_volume"]) * 50 + 0.6 * strands, 2.5)
    mask = torch.maximum(above, beside) * within * _haired(person)
    shine = 0.75 + 0.17 * strands + 0.35 * _bump(u, v, 0, line - 13, 30, 5)
    return _over(picture, hair * shine * (0.45 + 0.62 * light), mask)


def _haired(person: Rows) -> Tensor:
    """Return 0 for the bald, 1 for others."""
    return 1 - ((person["bald"] > 0.93) & (person["style"] < 0.55)).float()


def _glasses(picture: Tensor, surface: _Surface, person: Rows, photo: Rows) -> Tensor:
    """Put glasses on the fifth of the people who have some, in most of their photographs."""
    worn = ((person["glasses"] < 0.2) & (photo["wears"] < 0.8)).float()
    side, v = surface.u.abs(), surface.v - person["eye_height"] - 1
    style = person["glasses"] * 5
    half_width, half_height = 12.2 + 1.6 * style, 7.5 + 3 * style
    power = 2.4 + 3 * (1 - style)
    ring = (((side - person["eye_spacing"]).abs() / half_width) ** power + (v.abs() / half_height) ** power) ** (
        1 / power
    )
    rim = _inside(((ring - 1).abs() * half_height) - 0.75, 0.9)
    bridge = _inside((v + 2.5).abs() - 0.7, 0.9) * _inside(side - person["eye_spacing"] + half_width, 1)
    arm = _inside((v + 2.5).abs() - 0.8, 0.9) * _inside(person["eye_spacing"] + half_width - side, 1)
    mask = torch.maximum(rim, torch.maximum(bridge, arm)) * _inside((surface.limb - 1) * 50, 1.5)
    return _over(picture, torch.full_like(worn, 0.1) + 0.25 * (person["grey"] > 0.6), 0.92 * mask * worn)


def _backdrop(photo: Rows, draws: Draws, size_px: int) -> Tensor:
    first, second = photo["backdrop"].unbind(1)
    clouds = torch.sigmoid(1.6 * _texture(draws, 4, 5, size_px))
    colours = first + (second - first) * clouds
    grey = colours.mean(1, keepdim=True)
    return (grey + 0.4 * (colours - grey)) * 0.85 + 0.03


def _develop(picture: Tensor, photo: Rows) -> Tensor:
    """Apply exposure, contrast and white balance."""
    warm, tint = photo["warmth"], photo["tint"]
    gain = torch.exp(photo["exposure"] + torch.cat([warm, tint, -warm], 1))
    exposed = picture.clamp(min=0) * gain
    return ((exposed - 0.45) * photo["contrast"] + 0.45).clamp(0, 1)


def _hair_colour(person: Rows) -> Tensor:
    natural = _mix(_HAIR, person["hair"] * (1 - 0.75 * (person["skin"] > 0.45)))
    grey = ((person["grey"] - 0.72) * 2.6).clamp(0, 0.8) * person["age"].sqrt()
    return natural + grey * (0.62 - natural)


def _mix(palette: tuple[tuple[float, float, float], ...], share: Tensor) -> Tensor:
    """Return the colour (B, 3, 1, 1) at a share (B, 1, 1, 1) of the way through a palette."""
    colours = torch.tensor(palette, device=share.device)
    place = share[:, 0, 0, 0] * (len(palette) - 1)
    lower = place.long().clamp(max=len(palette) - 2)
    part = (place - lower)[:, None]
    return (colours[lower] * (1 - part) + colours[lower + 1] * part)[:, :, None, None]


def _texture(draws: Draws, rows: int, columns: int, size_px: int) -> Tensor:
    """Return smooth noise of standard deviation about 1, with that many waves down and across."""
    return F.interpolate(draws.normal(1, rows, columns), (size_px, size_px), mode="bicubic")


def _bump(
    u: Tensor, v: Tensor, at_u: Tensor | float, at_v: Tensor | float, wide: Tensor | float, high: Tensor | float
) -> Tensor:
    return _fade(((u - at_u) / wide) ** 2 + ((v - at_v) / high) ** 2)


def _unit(vectors: Tensor) -> Tensor:
    """Return (B, 3, S, S) at length 1; a norm across planes is many times slower than this sum."""
    return vectors * (vectors**2).sum(1, keepdim=True).rsqrt()


def _fade(squared: Tensor) -> Tensor:
    """Return exp(-squared), never smaller than any pixel shows: numbers next to zero cost a processor much time."""
    return torch.exp(-squared.clamp(max=40.0))


def _inside(distance: Tensor, softness: Tensor | float) -> Tensor:
    """Return 1 where a signed distance is negative, 0 where positive, with an edge of that width."""
    return (0.5 - distance / softness).clamp(0, 1)


def _over(below: Tensor, colour: Tensor, mask: Tensor) -> Tensor:
    return below + mask * (colour - below)
