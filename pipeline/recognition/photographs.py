"""Photographs to faces that a recogniser takes: read, find, align, or take a crop as it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE, FACE_PX, AlignError, align
from dataset.photographs.detect import LANDMARKS, FaceDetector, native_size_px
from dataset.photographs.images import read_image
from dataset.views.resolution import LARGEST_VLR_PX
from engine.errors import UserError

SMALLEST_PX = 6


class PhotographError(UserError):
    """A photograph without a usable face."""


@dataclass(frozen=True)
class SeenFace:
    """A face, ready to be embedded.

    Attributes:
        pixels: (h, w, 3) uint8 RGB: aligned 112x112, smaller where the photograph has no more to give, or a crop.
        size_px: Side that the face has in the photograph.
        quality: The detector's confidence; 1 for a crop.
        box: Left, top, right, bottom in the photograph; None for a crop.
        landmarks: (5, 2) in the photograph; None for a crop.
    """

    pixels: NDArray[np.uint8]
    size_px: int
    quality: float
    box: tuple[float, float, float, float] | None = None
    landmarks: NDArray[np.float64] | None = None

    def tensor(self, at_px: int | None = None) -> NDArray[np.float32]:
        """Return (1, 3, h, w) in [0, 1], shrunk to `at_px` if it is larger."""
        pixels = self.pixels
        if at_px is not None and max(pixels.shape[:2]) > at_px:
            pixels = _shrunk(pixels, at_px)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    def place(self) -> dict[str, Any]:
        """Return box and landmarks as plain JSON values."""
        points = None if self.landmarks is None else dict(zip(LANDMARKS, self.landmarks.round(1).tolist(), strict=True))
        box = None if self.box is None else [round(side, 1) for side in self.box]
        return {"box": box, "landmarks": points, "size_px": self.size_px, "quality": round(self.quality, 4)}


class FaceReader:
    """Reads photographs; the detector is loaded when the first of them needs it.

    Args:
        min_size_px: Smallest face that is looked for.
        threads: Threads of the detector.
    """

    def __init__(self, min_size_px: int = 20, threads: int = 1) -> None:
        self._min_size_px, self._threads = min_size_px, threads
        self._detector: FaceDetector | None = None

    def read(self, path: Path) -> list[SeenFace]:
        """Return the faces of a file, the largest first.

        Raises:
            ImageError: It cannot be read as an image.
            PhotographError: There is no face in it.
        """
        return self.find(read_image(path), path)

    def find(self, image: NDArray[np.uint8], path: Path | str) -> list[SeenFace]:
        """Return the faces of (H, W, 3) uint8 RGB; `path` is for messages."""
        height, width = image.shape[:2]
        if max(height, width) <= FACE_PX:
            if min(height, width) < SMALLEST_PX:
                raise PhotographError(f"{path}: {width}x{height}, a crop needs {SMALLEST_PX} px at least")
            return [SeenFace(image, max(height, width), 1.0)]
        if self._detector is None:
            self._detector = FaceDetector(self._min_size_px, threads=self._threads)
        faces = []
        for found in self._detector.detect(image):
            try:
                pixels = align(image, found.landmarks)
            except AlignError:
                continue
            native = round(native_size_px(found.landmarks, np.array(ARCFACE_TEMPLATE)))
            if native <= LARGEST_VLR_PX:
                pixels = _shrunk(pixels, max(SMALLEST_PX, native))
            faces.append(SeenFace(pixels, native, found.score, found.box, found.landmarks))
        if not faces:
            raise PhotographError(
                f"{path}: no face found; lower --min-size, or give an aligned crop of {SMALLEST_PX} to {FACE_PX} px"
            )
        return faces


def photograph_files(root: Path) -> list[Path]:
    """Return the files of a folder in order, without hidden ones; or the one file.

    Raises:
        PhotographError: There is nothing.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise PhotographError(f"{root}: no such file or folder; check the path")
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not files:
        raise PhotographError(f"{root}: holds no files; give a folder of photographs")
    return files


def each(files: list[Path], handle: Callable[[Path], None], tell: Callable[[str], None]) -> list[dict[str, str]]:
    """Handle file after file; one that fails is told in one line and the rest goes on.

    Returns:
        The failures, as file and reason.
    """
    return list(_failures(files, handle, tell))


def _failures(
    files: list[Path], handle: Callable[[Path], None], tell: Callable[[str], None]
) -> Iterator[dict[str, str]]:
    for path in files:
        try:
            handle(path)
        except UserError as error:
            reason = str(error)
        except PermissionError as error:
            reason = f"{path}: {str(error.strerror).lower()}; allow this user to read it"
        else:
            continue
        tell(f"failed: {reason}")
        yield {"photograph": str(path), "error": reason}


def _shrunk(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC))
