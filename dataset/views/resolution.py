"""How much a face file really shows: enlarged and blurred files hold no more than a low-resolution face does."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST_VLR_PX = 32
"""Largest side of a face that counts as low-resolution."""
NOTHING_LOST_DB = 36.0
"""A face that survives 32 px with this PSNR shows nothing that needs more pixels; see docs/decisions/resolution.md."""

Floats = NDArray[np.float32]


def as_seen(face: Floats) -> Floats:
    """Return a face at the resolution that it really has, as far as recognition tells two resolutions apart.

    Args:
        face: (3, h, w) RGB in [0, 1].

    Returns:
        The face itself, or (3, 32, 32) where shrinking it to that loses nothing: it was enlarged, or is out of focus.
    """
    if max(face.shape[-2:]) <= LARGEST_VLR_PX:
        return face
    small = resize(face, LARGEST_VLR_PX, LARGEST_VLR_PX)
    back = resize(small, *face.shape[-2:])
    error = float(np.square(back - face).mean())
    return small if error <= 10 ** (-NOTHING_LOST_DB / 10) else face


def is_enlarged(image: NDArray[np.uint8]) -> bool:
    """Tell whether a picture, (H, W, 3) uint8 RGB, shows no more than its 32x32 version."""
    face = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)
    return as_seen(face) is not face


def resize(face: Floats, height: int, width: int) -> Floats:
    """Resize (3, h, w) in [0, 1] by bicubic interpolation, with antialiasing where it shrinks, clamped to [0, 1]."""
    planes = [
        np.asarray(Image.fromarray(plane, mode="F").resize((width, height), Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(face, np.float32)
    ]
    return np.stack(planes).clip(0, 1)


def at_own_resolution(faces: Floats, work: Callable[[Floats], Floats]) -> Floats:
    """Do some work on a batch in which each face is at the resolution that it really has.

    Args:
        faces: (B, 3, h, w) RGB in [0, 1].
        work: Maps (b, 3, s, s) to b rows; called once for the faces that are what they seem, once for those that
            `as_seen` shrinks.

    Returns:
        The rows of all faces, in their order.
    """
    seen = [as_seen(face) for face in faces]
    parts = [[row for row, face in enumerate(seen) if face.shape == shape] for shape in {face.shape for face in seen}]
    results = [work(np.stack([seen[row] for row in part])) for part in parts]
    joined = np.empty((len(faces), *results[0].shape[1:]), np.float32)
    for part, result in zip(parts, results, strict=True):
        joined[part] = result
    return joined
