"""The faces of a picture, as a recogniser takes them: found and aligned, or a crop as it is; and which was which."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE, FACE_PX, AlignError, align, displacement
from dataset.photographs.detect import LANDMARKS, SMALLEST_FOUND_PX, DetectorError, FaceDetector, native_size_px
from dataset.photographs.image_files import read_image
from dataset.views.resolution import LARGEST_VLR_PX, is_enlarged
from engine.errors import UserError

SMALLEST_PX = 6
ALIGNED_WITHIN_PX = 8.0
"""A crop whose landmarks stand nearer to the template than this, in pixels of a 112x112 face, is taken as it is: of
faces that alignment cut out the detector finds nearly all within 5, and those of photographs at 15 and more."""
_OF_AN_ENLARGED_CROP_PX = 16.0
"""Where a picture was enlarged from a few pixels, what the detector says of it is as coarse as they were."""


class PhotographError(UserError):
    """A photograph without a usable face."""


class Taken(StrEnum):
    """Why the pixels of a face are what they are."""

    FOUND = "found and aligned"
    SAID = "crop (--crops)"
    PREPARED = "crop (112x112)"
    ALIGNED = "crop (aligned already)"
    NO_FACE = "crop (the detector finds no face in it)"
    UNSEEN = "crop (no detector is installed to look)"


@dataclass(frozen=True)
class SeenFace:
    """A face, ready to be embedded.

    Attributes:
        pixels: (h, w, 3) uint8 RGB: aligned 112x112, smaller where the photograph has no more to give, or a crop.
        size_px: Side that the face has in the photograph.
        quality: The detector's confidence; 1 for a crop.
        taken: Why these pixels.
        box: Left, top, right, bottom in the photograph; None for a crop.
        landmarks: (5, 2) in the photograph; None for a crop.
    """

    pixels: NDArray[np.uint8]
    size_px: int
    quality: float
    taken: Taken
    box: tuple[float, float, float, float] | None = None
    landmarks: NDArray[np.float64] | None = None

    def tensor(self, at_px: int | None = None) -> NDArray[np.float32]:
        """Return (1, 3, h, w) in [0, 1], shrunk to `at_px` if it is larger."""
        pixels = self.pixels
        if at_px is not None and max(pixels.shape[:2]) > at_px:
            pixels = shrink_face(pixels, at_px)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    def place(self) -> dict[str, Any]:
        """Return where and how the face was found as plain JSON values."""
        points = None if self.landmarks is None else dict(zip(LANDMARKS, self.landmarks.round(1).tolist(), strict=True))
        box = None if self.box is None else [round(side, 1) for side in self.box]
        return {
            "box": box,
            "landmarks": points,
            "size_px": self.size_px,
            "quality": round(self.quality, 4),
            "taken": self.taken.value,
        }

    def __str__(self) -> str:
        """Size and origin, for the lines that commands print."""
        return f"{self.size_px} px" + ("" if self.taken is Taken.FOUND else ", crop")


class FaceReader:
    """Reads pictures, and counts what it took for what; the detector is loaded when the first of them needs it.

    Every picture is looked at. What is found is aligned, unless it stands where alignment would put it. A picture of
    up to 112 px in which nothing is found is taken for a crop: faces of a few pixels are none to the detector.

    Args:
        min_size_px: Smallest face that is looked for; in pictures of up to 112 px always down to 12.
        threads: Threads of the detector.
        crops: All pictures are aligned crops, of any size; nothing is looked for.
        prepared: Pictures of 112x112 are taken for crops, as those of a prepared split are.

    Attributes:
        counts: How many pictures were taken for what.
    """

    def __init__(self, min_size_px: int = 20, threads: int = 1, crops: bool = False, prepared: bool = False) -> None:
        self._min_size_px, self._threads, self._crops, self._prepared = min_size_px, threads, crops, prepared
        self.counts: Counter[Taken] = Counter()

    def read(self, path: Path) -> list[SeenFace]:
        """Return the faces of a file, the largest first.

        Raises:
            ImageError: It cannot be read as an image.
            PhotographError: There is no face in it.
        """
        return self.find(read_image(path), path)

    def find(self, image: NDArray[np.uint8], path: Path | str) -> list[SeenFace]:
        """Return the faces of (H, W, 3) uint8 RGB; `path` is for messages."""
        faces = self._look(image, path)
        self.counts[faces[0].taken] += 1
        return faces

    def summary(self) -> str:
        """Say how many pictures were taken for what."""
        words = ", ".join(f"{self.counts[taken]} {taken}" for taken in Taken if self.counts[taken])
        return f"pictures: {words or 'none'}"

    def _look(self, image: NDArray[np.uint8], path: Path | str) -> list[SeenFace]:
        height, width = image.shape[:2]
        small = max(height, width) <= FACE_PX
        if (small or self._crops) and min(height, width) < SMALLEST_PX:
            raise PhotographError(f"{path}: {width}x{height}, a crop needs {SMALLEST_PX} px at least")
        if self._crops:
            return [_crop(image, Taken.SAID)]
        if self._prepared and height == width == FACE_PX:
            return [_crop(image, Taken.PREPARED)]
        try:
            found = (self._small_faces if small else self._faces).detect(image)
        except DetectorError:
            if small:
                return [_crop(image, Taken.UNSEEN)]
            raise
        if small and found and is_aligned(image, found[0].landmarks):
            return [_crop(image, Taken.ALIGNED)]
        faces = []
        for each in found:
            try:
                pixels, native = align_at_own_size(image, each.landmarks)
            except AlignError:
                continue
            faces.append(SeenFace(pixels, native, each.score, Taken.FOUND, each.box, each.landmarks))
        if not faces and not small:
            raise PhotographError(
                f"{path}: no face of {self._min_size_px} px or more found; leave it out, or say with --crops that the "
                "pictures are aligned crops"
            )
        return faces or [_crop(image, Taken.NO_FACE)]

    @cached_property
    def _faces(self) -> FaceDetector:
        return FaceDetector(self._min_size_px, threads=self._threads)

    @cached_property
    def _small_faces(self) -> FaceDetector:
        return FaceDetector(SMALLEST_FOUND_PX, threads=self._threads)


def align_at_own_size(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> tuple[NDArray[np.uint8], int]:
    """Align a face, and keep no more pixels of it than the picture has where those are few.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (5, 2) x and y in pixels of the image, in the order of `ARCFACE_TEMPLATE`.

    Returns:
        (s, s, 3) uint8 RGB, s being 112 or the native size where that is at most 32 px; and the native size.

    Raises:
        AlignError: As `align` does.
    """
    pixels = align(image, landmarks)
    native = round(native_size_px(np.asarray(landmarks, np.float64), np.array(ARCFACE_TEMPLATE)))
    return (shrink_face(pixels, native) if native <= LARGEST_VLR_PX else pixels), native


def is_aligned(image: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> bool:
    """Tell whether a picture, (H, W, 3) uint8 RGB, is a face where alignment would put it, by its landmarks (5, 2)."""
    try:
        distance = displacement(landmarks, *image.shape[:2])
    except AlignError:
        return False
    pixel = FACE_PX / native_size_px(landmarks, np.array(ARCFACE_TEMPLATE))
    return distance <= max(pixel, _OF_AN_ENLARGED_CROP_PX if is_enlarged(image) else ALIGNED_WITHIN_PX)


def _crop(image: NDArray[np.uint8], taken: Taken) -> SeenFace:
    return SeenFace(image, max(image.shape[:2]), 1.0, taken)


def shrink_face(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Return (s, s, 3) uint8 RGB of a face, s being `size_px`, but 6 at least."""
    side = max(SMALLEST_PX, size_px)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
