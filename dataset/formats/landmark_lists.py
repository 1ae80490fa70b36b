"""Lists of five landmarks as data sets come with them, told apart by their content.

own        CSV with image (or file), left_eye_x ... mouth_right_y
CelebA     a count; lefteye_x lefteye_y ... rightmouth_y; then a file and ten numbers a line
VGGFace2   CSV with NAME_ID, P1X, P1Y ... P5Y; names without their ending
plain      a file, perhaps its label, and ten numbers a line, x before y, as CASIA-WebFace's are passed on
"""

import csv
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.formats.source import FormatError, Landmarks
from dataset.photographs.intake import read_landmarks
from engine.text import composed, first_lines, read_lines

_CELEBA_HEADER = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x"
_PLAIN = re.compile(r"^(\S+\.\w+)[\s,]+(?:(\d+)[\s,]+)?((?:-?\d+(?:\.\d+)?[\s,]+){9}-?\d+(?:\.\d+)?)\s*$")


def is_landmark_list(path: Path) -> bool:
    """Whether a text file begins as one of the lists does."""
    return _kind(path) != ""


def read_any_landmarks(path: Path) -> dict[str, Landmarks]:
    """Read a list of any of the kinds: an image's name to its (5, 2) landmarks.

    Raises:
        FormatError: It is none, or a line is not of its kind.
        IntakeError: Likewise, of the own kind.
        TextError: It is no text.
    """
    kind = _kind(path)
    if kind == "CelebA":
        return _read(path, read_lines(path)[2:], 3)
    if kind == "VGGFace2":
        return _read(path, read_lines(path)[1:], 2)
    return _read(path, read_lines(path), 1) if kind == "plain" else read_landmarks(path)


def named_as(table: dict[str, Landmarks], images: Collection[str]) -> dict[str, Landmarks]:
    """Return a list by the names of the images: its own may lack their ending, or have letters composed otherwise."""
    known = {composed(image.rpartition(".")[0]): image for image in images}
    known |= {composed(image): image for image in images} | {image: image for image in images}
    return {known.get(name) or known.get(composed(name), name): points for name, points in table.items()}


def _kind(path: Path) -> str:
    lines = first_lines(path)
    if len(lines) > 1 and " ".join(lines[1].split()).startswith(_CELEBA_HEADER):
        return "CelebA"
    if lines and lines[0].replace(" ", "").upper().startswith("NAME_ID,P1X,P1Y"):
        return "VGGFace2"
    if lines and {"left_eye_x", "mouth_right_y"} <= set(next(csv.reader(lines[:1]))):
        return "own"
    return "plain" if lines and _PLAIN.match(lines[0]) else ""


def _read(path: Path, lines: Iterable[str], first: int) -> dict[str, Landmarks]:
    table: dict[str, NDArray[np.float64]] = {}
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        words = re.split(r"[\s,]+", line.strip())
        try:
            name, numbers = words[0].strip('"'), [float(word) for word in words[1:]]
            if len(numbers) not in (10, 11):
                raise ValueError
            table[name] = np.array(numbers[-10:]).reshape(5, 2)
        except ValueError:
            raise FormatError(
                f"{path}, line {number}: {line.strip()[:60]!r} is no image and ten numbers; mend or remove the line"
            ) from None
    if not table:
        raise FormatError(f"{path}: a list of landmarks without a line")
    return table
