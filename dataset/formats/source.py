"""What every format yields: records of images, and a way to read their bytes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset.photographs.image_files import ImageError
from dataset.photographs.pairs import Pair
from dataset.photographs.problems import Problem, unusable
from engine.errors import UserError

Landmarks = NDArray[np.float64]
"""(5, 2) x and y in pixels of the image, in the order of `dataset.photographs.align.ARCFACE_TEMPLATE`."""

MOST_BYTES = 256 * 2**20
"""No encoded image is larger; a record that claims to be is not read."""

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class FormatError(UserError):
    """A file that is not what its content began as, or of which nothing can be read."""


@dataclass(frozen=True, slots=True)
class Record:
    """An image in a source, before its bytes are read."""

    name: str
    """Unique in its source, like a path with forward slashes."""
    person: str
    place: Any = None
    """Where its source finds it."""
    landmarks: Landmarks | None = None
    split: str = ""
    """"train", "val" or "test" where the data set was published in parts."""
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)


@dataclass
class Source:
    """Images somewhere, and whose they are.

    Every image that is there is one of the records or one of the problems.

    Attributes:
        path: What the user named.
        what: What it was taken for, in words.
        rule: What says whose an image is, in words.
        records: The images, in the order in which they are read fastest.
        read: Returns the encoded bytes of a record; raises `ImageError` where there are none.
        problems: Images that are there and cannot be read.
        notes: What the user should know, a line each.
        pairs: Verification pairs that came with it.
        lists: Text files that it was read by.
        files: The files that hold the images, where they are not one each.
        passed_over: How many other files there are, by their ending.
    """

    path: Path
    what: str
    rule: str
    records: list[Record]
    read: Callable[[Record], bytes]
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    passed_over: "Counter[str]" = field(default_factory=Counter)

    def listed(self, name: str, person: str, why: str) -> None:
        """List an image that cannot be read."""
        self.problems.append(unusable(name, person, why))


def no_reading(record: Record) -> bytes:
    """Stand for `Source.read` until the source is open."""
    raise ImageError(f"{record.name}: its source is not open")


def checked_size(name: str, size: int) -> int:
    """Return the size of an encoded image.

    Raises:
        ImageError: It is larger than any.
    """
    if not 0 <= size <= MOST_BYTES:
        raise ImageError(f"{name}: {size} bytes, more than any image has ({MOST_BYTES}); remove it")
    return size


def first_bytes(path: Path, count: int = 512) -> bytes:
    """Return the first bytes of a file; none of what is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(count)
