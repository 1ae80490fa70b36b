"""Photographs turned, scaled and cut so that eyes, nose and mouth stand where EdgeFace expects them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from engine.errors import UserError

FACE_PX = 112

ARCFACE_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""x and y of left eye, right eye, nose, left and right corner of the mouth, as seen in the picture, in a 112x112 face
whose first pixel is centred on (0, 0) (Deng et al., ArcFace, CVPR 2019, arXiv 1801.07698)."""

_GRID = np.stack(np.meshgrid(*[np.arange(1.5, FACE_PX, 4)] * 2), axis=-1).reshape(-1, 2)
"""x and y of places spread over a face, in its pixels."""

_MOST_ERROR_PX = 18.0
"""A profile fits the template to about 9; landmarks in another order, to 20 and more."""


class AlignError(UserError):
    """Landmarks that are not those of a face."""


class OutsideError(AlignError):
    """Landmarks of a face that is not in the picture."""


def align(image: NDArray[np.uint8], landmarks: ArrayLike) -> NDArray[np.uint8]:
    """Cut out the face by the similarity transform that fits its landmarks best to the template.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (5, 2) x and y in pixels of the image, in the order of `ARCFACE_TEMPLATE`.

    Returns:
        (112, 112, 3) uint8 RGB; black where the image ends. Large faces are averaged, not sampled.

    Raises:
        AlignError: The landmarks coincide, are not finite, or do not form a face.
        OutsideError: Less than half of the face would be picture, and some of the landmarks lie outside.
    """
    points = np.asarray(landmarks, np.float64).reshape(5, 2)
    matrix = _similarity(points)
    _refuse_outside(points, matrix, *image.shape[:2])
    scale = float(np.hypot(*matrix[:, 0]))  # photograph pixels a face pixel
    factor = max(1, int(scale))
    picture = Image.fromarray(image)
    if factor > 1:
        picture = picture.reduce(factor)
    # Pillow counts from a pixel's corner, landmarks count from its middle.
    turn, shift = matrix[:, :2], matrix[:, 2] + 0.5 - matrix[:, :2] @ (0.5, 0.5)
    data = np.hstack([turn, shift[:, None]]) / factor
    face = picture.transform(
        (FACE_PX, FACE_PX), Image.Transform.AFFINE, tuple(data.ravel().tolist()), Image.Resampling.BICUBIC
    )
    return np.array(face)


def displacement(landmarks: ArrayLike, height: int, width: int) -> float:
    """Return how far `align` would move a face whose picture were taken for the aligned crop, in pixels of 112x112.

    Args:
        landmarks: (5, 2) x and y in pixels of the picture.
        height: Of the picture.
        width: Of the picture.

    Returns:
        The root of the mean squared distance between where the template's points are and where they would come from,
        at the size that the face has there.

    Raises:
        AlignError: The landmarks coincide, are not finite, or do not form a face.
    """
    matrix = _similarity(np.asarray(landmarks, np.float64).reshape(5, 2))
    template = np.array(ARCFACE_TEMPLATE)
    should = template @ matrix[:, :2].T + matrix[:, 2]
    stand = (template + 0.5) * (width / FACE_PX, height / FACE_PX) - 0.5
    scale = float(np.hypot(*matrix[:, 0]))  # pixels of the picture a face pixel
    return float(np.sqrt(np.square(should - stand).sum(axis=1).mean())) / scale


def _refuse_outside(points: NDArray[np.float64], matrix: NDArray[np.float64], height: int, width: int) -> None:
    """Refuse a face that is mostly not in the picture; a picture cut closely around its face shows all five points."""
    share = _within(_GRID @ matrix[:, :2].T + matrix[:, 2], height, width).mean()
    if share < 0.5 and not _within(points, height, width).all():
        raise OutsideError(
            f"landmarks {points.round(1).tolist()} put {1 - share:.0%} of the face outside this picture of "
            f"{width}x{height}; give those of this version of it, or remove them"
        )


def _within(places: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((places >= -0.5) & (places <= (width - 0.5, height - 0.5)), axis=1)
    return inside


def _similarity(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (2, 3), from pixels of the face to pixels of the photograph; least squares in the face's pixels."""
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1:
        raise AlignError(f"landmarks {points.round(1).tolist()} are not five points of a face; mend or remove them")
    one, zero = np.ones(5), np.zeros(5)
    rows = np.vstack(
        [
            np.stack([points[:, 0], -points[:, 1], one, zero], 1),
            np.stack([points[:, 1], points[:, 0], zero, one], 1),
        ]
    )
    target = np.array(ARCFACE_TEMPLATE).T.ravel()
    (cosine, sine, right, down), *_ = np.linalg.lstsq(rows, target, rcond=None)
    error = float(np.sqrt(np.mean((rows @ (cosine, sine, right, down) - target) ** 2) * 2))
    if error > _MOST_ERROR_PX:
        raise AlignError(
            f"landmarks {points.round(1).tolist()} do not form a face; their order is left eye, right eye, nose, left "
            "and right corner of the mouth, as seen in the picture"
        )
    forward = np.array([[cosine, -sine], [sine, cosine]])
    back = np.linalg.inv(forward)
    return np.hstack([back, -(back @ (right, down))[:, None]])
