"""Listed landmarks held against what the detector sees in some of the pictures: a list of another version fits none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.detect import DetectorError, FaceDetector, native_size_px
from dataset.photographs.intake import FindLandmarks

_LOOKED_AT = 12
_FEWEST_SEEN = 4
_MOST_APART = 0.3
_MOST_LARGER = 1.3
"""Other detectors' landmarks lie within a tenth of the face, and their faces are as large to a tenth."""


class LandmarkCheck:
    """Passes landmarks on, and looks in some of their pictures whether a face is there; without a detector in none.

    Args:
        find: Landmarks as listed.
        listed: The photographs that have some; a dozen spread over them is looked at.

    Attributes:
        listed: How many have some.
    """

    def __init__(self, find: FindLandmarks, listed: Sequence[str]) -> None:
        self.listed = len(listed)
        self._find, self._sample = find, set(listed[:: max(1, len(listed) // _LOOKED_AT)][:_LOOKED_AT])
        self._detector: FaceDetector | None = None
        self._seen = self._fitting = 0

    def __call__(self, source: str, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Return the landmarks of a photograph's face; arguments as of `FindLandmarks`."""
        known = self._find(source, image)
        if known and source in self._sample:
            self._look(image, known[0])
        return known

    def contradiction(self) -> str:
        """Say so where faces are seen in the pictures, and in none of them where its landmarks are; else nothing."""
        if self._seen < _FEWEST_SEEN or self._fitting:
            return ""
        return (
            f"in {self._seen} photographs that were looked at a face is found, and in none where its landmarks are: "
            "their list belongs to another version of the pictures; give the list of this one"
        )

    def _look(self, image: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> None:
        try:
            self._detector = self._detector or FaceDetector()
        except DetectorError:
            self._sample.clear()
            return
        faces = self._detector.detect(image)
        self._seen += bool(faces)
        self._fitting += any(_fits(landmarks, face.landmarks) for face in faces)


def _fits(landmarks: NDArray[np.float64], seen: NDArray[np.float64]) -> bool:
    """Tell whether two lots of five landmarks (5, 2) are of one face."""
    sizes = [native_size_px(points, np.array(ARCFACE_TEMPLATE)) for points in (landmarks, seen)]
    apart = float(np.linalg.norm(landmarks.mean(axis=0) - seen.mean(axis=0)))
    return apart < _MOST_APART * max(sizes) and max(sizes) < _MOST_LARGER * min(sizes)
