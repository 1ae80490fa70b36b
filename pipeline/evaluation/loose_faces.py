"""Faces that no store has packed: images in a split's folder, which must be aligned faces as a store's are."""

import hashlib
from pathlib import Path

from dataset.photographs.image_files import ImageError, image_size, read_encoded
from engine.errors import UserError


class LooseFacesError(UserError):
    """Images that are no aligned faces."""


def refuse_unaligned(folder: Path, files: list[Path], size_px: int) -> None:
    """Raise `LooseFacesError` where images of a folder have another size than aligned faces; headers alone are read.

    Args:
        folder: What holds them, for the message.
        files: The images; what cannot be read is passed over.
        size_px: Width and height that they must have.
    """
    sizes = {path: size for path in files if (size := image_size(path)) is not None}
    others = {path: size for path, size in sizes.items() if size != (size_px, size_px)}
    if others:
        path, (width, height) = next(iter(others.items()))
        raise LooseFacesError(
            f"{folder}: {len(others)} of {len(files)} images are no aligned faces of {size_px}x{size_px}, the first is "
            f"{path.relative_to(folder)} of {width}x{height}; align them with python -m dataset prepare {folder} "
            "--out FOLDER, and evaluate what it writes"
        )


def hash_of_files(files: list[Path], people: list[str]) -> str:
    """Return the SHA-256 of the contents of images, their names and the people that they show, one for each."""
    lines = (f"{_hash_of(path)} {path.name} {name}" for path, name in zip(files, people, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(read_encoded(path)).hexdigest()
    except ImageError:  # of what kind is said where it is read
        return "unreadable"
