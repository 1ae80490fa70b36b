"""Draws the portrait of a synthetic person: a shaded head in a pose, its features, hair and surroundings.

Every quantity is a (B, 1, 1, 1) column of its batch or a (B, 1, S, S) plane, so that a batch is drawn at once.
Positions on the face, (u, v), are pixels right and down from its middle, seen from the front.
"""

import torch
from torch import Tensor

from dataset.synthetic.features import eye, glasses, mouth, nostrils
from dataset.synthetic.hair import beard, brow, hair_before, hair_behind, hair_colour
from dataset.synthetic.head import face_mask, gloss, illuminate, look, relief
from dataset.synthetic.skin import body, complexion, ears, folds, skin_colour
from dataset.synthetic.strokes import Rows, over, texture
from dataset.views.random_streams import Draws


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
    surface = look(person, photo, size_px)
    skin = skin_colour(person)
    hair = hair_colour(person)
    strands = texture(draws, 7, 70, size_px)
    skin_noise = texture(draws, 44, 44, size_px)
    picture = _backdrop(photo, draws, size_px)
    picture = hair_behind(picture, surface, person, hair, strands)
    picture = body(picture, surface, person, photo, skin)
    light = illuminate(surface, photo, relief(surface, person, photo))
    picture = ears(picture, surface, person, skin * light)
    face = complexion(surface, person, skin, skin_noise)
    face = folds(face, surface, person, photo)
    face = mouth(face, surface, person, photo, skin)
    face = nostrils(face, surface, person)
    face = beard(face, surface, person, hair, skin_noise)
    for side in (-1.0, 1.0):
        face = eye(face, surface, person, photo, side)
        face = brow(face, surface, person, photo, hair, strands, side)
    face = face * light + gloss(surface, photo, light)
    picture = over(picture, face, face_mask(surface, person))
    picture = glasses(picture, surface, person, photo)
    picture = hair_before(picture, surface, person, hair, strands, light)
    return _develop(picture, photo)


def _backdrop(photo: Rows, draws: Draws, size_px: int) -> Tensor:
    first, second = photo["backdrop"].unbind(1)
    clouds = torch.sigmoid(1.6 * texture(draws, 4, 5, size_px))
    colours = first + (second - first) * clouds
    grey = colours.mean(1, keepdim=True)
    return (grey + 0.4 * (colours - grey)) * 0.85 + 0.03


def _develop(picture: Tensor, photo: Rows) -> Tensor:
    """Apply exposure, contrast and white balance."""
    warm, tint = photo["warmth"], photo["tint"]
    gain = torch.exp(photo["exposure"] + torch.cat([warm, tint, -warm], 1))
    exposed = picture.clamp(min=0) * gain
    return ((exposed - 0.45) * photo["contrast"] + 0.45).clamp(0, 1)
