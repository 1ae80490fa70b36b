"""Procedural faces: people with a stable geometry, skin and hair, photographed under changing conditions.

A person is a row of traits, a photograph a row of circumstances; both are drawn from a seed of their own, so that
photograph 7 of person 3 is the same picture whatever else is rendered beside it. `portrait` draws them.
"""

from pathlib import Path

import torch
from torch import Tensor

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from dataset.synthetic.portrait import portrait
from dataset.synthetic.strokes import Rows
from dataset.views.random_streams import Draws
from dataset.views.resize import FACE_PX
from engine.threads import one_thread

_PART = 8
"""Faces drawn at once: their planes fit into a processor's cache."""

# Mean and standard deviation; lengths in pixels of the 112x112 face, measured from the point between eyes and mouth.
_TRAITS: dict[str, tuple[float, float]] = {
    "eye_spacing": (17.8, 0.9),
    "eye_height": (-14.5, 0.8),
    "eye_width": (7.6, 0.75),
    "eye_opening": (3.2, 0.5),
    "eye_tilt": (0.07, 0.08),
    "eye_skew": (0.0, 0.18),
    "lid_crease": (2.4, 0.7),
    "iris_radius": (3.3, 0.22),
    "brow_height": (-24.0, 1.5),
    "brow_width": (11.0, 1.2),
    "brow_thickness": (1.55, 0.5),
    "brow_arch": (2.4, 1.2),
    "brow_slant": (0.02, 0.1),
    "nose_tip": (6.5, 1.5),
    "nose_width": (7.4, 1.1),
    "nose_ridge": (4.0, 0.8),
    "nose_depth": (9.0, 1.8),
    "mouth_height": (26.5, 1.3),
    "mouth_width": (13.0, 1.3),
    "upper_lip": (2.5, 0.75),
    "lower_lip": (3.7, 0.9),
    "cupid": (0.35, 0.2),
    "lip_redness": (0.42, 0.16),
    "cheek_width": (40.5, 2.2),
    "jaw_power": (2.7, 0.6),
    "chin": (49.0, 2.4),
    "cheekbone": (2.6, 1.2),
    "chin_bump": (2.6, 1.0),
    "brow_ridge": (1.6, 0.9),
    "hairline": (-54.0, 4.5),
    "hairline_curve": (3.0, 4.0),
    "hair_volume": (1.12, 0.04),
    "hair_part": (0.0, 14.0),
    "ear": (1.0, 0.15),
}
_CONDITIONS: dict[str, tuple[float, float]] = {
    "yaw": (0.0, 0.24),
    "pitch": (0.0, 0.12),
    "roll": (0.0, 0.03),
    "smile": (0.35, 0.45),
    "brow_raise": (0.0, 0.9),
    "gaze_x": (0.0, 0.9),
    "gaze_y": (0.0, 0.4),
    "light_x": (0.0, 0.6),
    "light_y": (-0.45, 0.35),
    "exposure": (-0.02, 0.16),
    "warmth": (0.0, 0.05),
    "tint": (0.0, 0.02),
    "contrast": (1.0, 0.12),
    "offset_x": (0.0, 0.5),
    "offset_y": (0.0, 0.5),
}
_SHARES = ("skin", "hair", "grey", "iris", "age", "beard", "moustache", "style", "bald", "freckles", "glasses")
"""Traits that are even in [0, 1)."""
_SPLIT_PEOPLE, _SPLIT_PHOTOS = 40, 5
_SPLIT_SEEDS = {"train": 1, "val": 2}


def synthetic_faces(person: Tensor, photo: Tensor, seed: int) -> Tensor:
    """Photograph people.

    Args:
        person: (B,) int64, which person.
        photo: (B,) int64, which photograph of that person.
        seed: Seed of the whole population.

    Returns:
        (B, 3, 112, 112) uint8 RGB, aligned on the ArcFace template; the same for the same three numbers.
    """
    with one_thread():
        starts = range(0, len(person), _PART)
        return torch.cat([_photograph(person[at : at + _PART], photo[at : at + _PART], seed) for at in starts])


def describe_people(person: Tensor, seed: int) -> Tensor:
    """Return the traits of people as numbers.

    Args:
        person: (P,) int64, which people.
        seed: Seed of the whole population.

    Returns:
        (P, T) float32, each column of mean 0 and, but for its tails, deviation 1.
    """
    traits = _traits(Draws(_stream(person, seed) * 0x10_0000))
    normal = [(traits[name].flatten(1) - mean) / spread for name, (mean, spread) in _TRAITS.items()]
    even = [(traits[name].flatten(1) - 0.5) * 12**0.5 for name in (*_SHARES, "moles")]
    return torch.cat([*normal, *even], 1)


def write_synthetic_splits(root: Path) -> None:
    """Write a training and a validation split of 40 synthetic people each, five faces a person.

    Enough to compare an export with its source where nothing is prepared, not to choose a threshold.
    """
    person = torch.arange(_SPLIT_PEOPLE).repeat_interleave(_SPLIT_PHOTOS)
    photo = torch.arange(_SPLIT_PHOTOS).repeat(_SPLIT_PEOPLE)
    people = [f"person {number}" for number in person.tolist()]
    images = [f"{who}/{number}.png" for who, number in zip(people, photo.tolist(), strict=True)]
    for split, seed in _SPLIT_SEEDS.items():
        faces = synthetic_faces(person, photo, seed).permute(0, 2, 3, 1).contiguous().numpy()
        FaceStore.build(split_folder(root, split), list(faces), images, people)


def _stream(person: Tensor, seed: int) -> Tensor:
    return person * 2 + seed * 0x1_0000_0001


def _photograph(person: Tensor, photo: Tensor, seed: int) -> Tensor:
    who = _stream(person, seed)
    people = _traits(Draws(who * 0x10_0000))
    draws = Draws(who * 0x10_0000 + 1 + photo)
    conditions = _conditions(draws)
    picture = portrait(people, conditions, draws, FACE_PX)
    noisy = picture + (0.004 + 0.012 * conditions["grain"] ** 2) * draws.normal(3, FACE_PX, FACE_PX)
    return noisy.clamp(0, 1).mul(255).round().byte()


def _traits(draws: Draws) -> Rows:
    traits = _normal_rows(_TRAITS, draws)
    traits |= {name: draws.uniform(1, 1, 1) for name in _SHARES}
    traits["moles"] = draws.uniform(4, 1, 1, 3)
    return traits


def _conditions(draws: Draws) -> Rows:
    conditions = _normal_rows(_CONDITIONS, draws)
    for name in ("mouth_open", "lids", "ambient", "grain", "shine", "wears"):
        conditions[name] = draws.uniform(1, 1, 1)
    conditions["backdrop"] = draws.uniform(2, 3, 1, 1)
    conditions["clothes"] = draws.uniform(3, 1, 1)
    return conditions


def _normal_rows(table: dict[str, tuple[float, float]], draws: Draws) -> Rows:
    """Return (B, 1, 1, 1) a name, within 2.2 standard deviations."""
    normal = draws.normal(len(table)).clamp(-2.2, 2.2)
    rows = zip(table.items(), normal.unbind(1), strict=True)
    return {name: (mean + spread * value)[:, None, None, None] for (name, (mean, spread)), value in rows}
