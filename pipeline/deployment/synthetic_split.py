"""Synthetic faces where nothing is prepared: enough to compare an export with its source, not to choose a threshold."""

from pathlib import Path

import torch

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from dataset.synthetic.people import synthetic_faces

_PEOPLE, _PHOTOS = 40, 5
_SEEDS = {"train": 1, "val": 2}


def write_synthetic_splits(root: Path) -> None:
    """Write a training and a validation split of 40 synthetic people each, five faces a person."""
    person = torch.arange(_PEOPLE).repeat_interleave(_PHOTOS)
    photo = torch.arange(_PHOTOS).repeat(_PEOPLE)
    people = [f"person {number}" for number in person.tolist()]
    images = [f"{who}/{number}.png" for who, number in zip(people, photo.tolist(), strict=True)]
    for split, seed in _SEEDS.items():
        faces = synthetic_faces(person, photo, seed).permute(0, 2, 3, 1).contiguous().numpy()
        FaceStore.build(split_folder(root, split), list(faces), images, people)
