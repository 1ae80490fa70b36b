"""The faces of a published set at the size that they really have, from the file, landmarks, a detector or the pixels.

Every picture is looked at once: what was found is kept beside the embeddings, so that a second evaluation looks for no
face. Then a face is what its landmarks cut out, or the crop as it is; and no larger than its native size.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dataset.photographs.seen_faces import SMALLEST_PX, FaceReader, Taken, align_at_own_size, shrink_face
from dataset.views.resolution import LARGEST_VLR_PX, is_enlarged
from engine.errors import UserError
from engine.text import read_table
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.faces import NATIVE_PX, Picture, shrunk
from pipeline.published.published_set import PublishedSet, Sizes

_TAKEN = ["aligned by listed landmarks", "aligned as published", *(taken.value for taken in Taken)]
_LISTED, _PUBLISHED = 0, 1
_SIZE, _KIND, _POINTS = 0, 1, slice(2, 12)
_COLUMNS = 12

Native = Literal["auto", "file"]


class NativeSizeError(UserError):
    """A `--native-size` that says nothing."""


@dataclass(frozen=True)
class NativeSize:
    """What says how many pixels a face really has.

    Attributes:
        rule: "auto": file, landmarks or detector, and the pixels, which show where a face was enlarged from 32 px or
            less; "file": all but the pixels.
        every: The size of every face; 0: not given.
        listed: Names of faces to their sizes.
    """

    rule: Native = "auto"
    every: int = 0
    listed: dict[str, int] = field(default_factory=dict)

    def of(self, name: str, pixels: Picture, seen_px: int) -> int:
        """Return the native size of a face.

        Args:
            name: Of its picture.
            pixels: (h, w, 3) uint8 RGB.
            seen_px: By the file, the landmarks or the detector.
        """
        said = self.listed.get(name, self.every)
        if said:
            return min(said, seen_px)
        enlarged = self.rule == "auto" and seen_px > LARGEST_VLR_PX and is_enlarged(pixels)
        return LARGEST_VLR_PX if enlarged else seen_px


def parse_native_size(text: str | None, aligned: bool) -> NativeSize:
    """Read `--native-size`: auto, file, a number of pixels, or a CSV (image,size_px).

    Args:
        text: What was given; None: auto, and for sets that are published aligned at full size file.
        aligned: Whether the set is such.

    Raises:
        NativeSizeError: None of these, or a size below 6.
        TextError: A file that is no CSV.
    """
    if text is None or text in ("auto", "file"):
        rule: Native = "file" if text == "file" or (text is None and aligned) else "auto"
        return NativeSize(rule)
    if text.isdigit():
        return NativeSize(every=_checked(int(text), "--native-size"))
    path = Path(text)
    try:
        table = read_table(path, ("image", "size_px"))
    except FileNotFoundError:
        raise NativeSizeError(f"--native-size {text}: give auto, file, a number, or a CSV that is there") from None
    return NativeSize(listed=dict(_listed_size(path, line, row) for line, row in table))


def _listed_size(path: Path, line: int, row: dict[str, str]) -> tuple[str, int]:
    try:
        return row["image"], _checked(round(float(row["size_px"])), f"{path}, line {line}")
    except (KeyError, ValueError, OverflowError):
        raise NativeSizeError(
            f"{path}, line {line}: {row} is no image and size_px; mend the line or its header"
        ) from None


def _checked(size_px: int, what: str) -> int:
    if size_px < SMALLEST_PX:
        raise NativeSizeError(f"{what}: {size_px} px, a face has {SMALLEST_PX} at least")
    return size_px


class NativeFaces:
    """The faces of a published set, for an `Embedder`.

    Args:
        source: The set.
        reader: Looks for faces in pictures without landmarks.
        native: What says how large they are.
        how: What else decides what the reader finds, for the key.
        cache: Keeps what was found.

    Attributes:
        size_px: (N,) native sizes; 0 where a face could not be read.
        failures: Name to reason of the faces that could not be read.
        taken: How many pictures were taken for what.
    """

    def __init__(
        self, source: PublishedSet, reader: FaceReader, native: NativeSize, how: str, cache: EmbeddingCache
    ) -> None:
        self._source, self._reader, self._native = source, reader, native
        self.failures: dict[str, str] = {}
        points = b"" if source.landmarks is None else source.landmarks.tobytes()
        said = json.dumps([source.key, source.names, how, native.rule, native.every, native.listed])
        self._key = hashlib.sha256(said.encode() + points).hexdigest()
        with tqdm(total=len(self), unit="face", desc="looking", leave=False, mininterval=0.5) as bar:

            def look(block: slice, wanted: list[int]) -> NDArray[np.float32]:
                rows = range(*block.indices(len(self)))
                bar.update(len(rows))
                return np.stack([self._look(row) for row in rows])[:, None]

            self._seen = cache.get([{"looked at": self._key}], len(self), look)[0]
        unread = np.flatnonzero(np.isnan(self._seen[:, _SIZE]))
        if len(self.failures) < len(unread):  # what the cache knows to fail says why once more
            for row in unread:
                self._look(int(row))
        self.size_px: Sizes = np.nan_to_num(self._seen[:, _SIZE]).astype(np.int64)
        self.taken = Counter(_TAKEN[int(kind)] for kind in self._seen[~np.isnan(self._seen[:, _SIZE]), _KIND])

    def __len__(self) -> int:
        return len(self._source.names)

    def views(self, rows: NDArray[np.int64], size_px: int) -> list[Picture | None]:
        """Return (h, w, 3) uint8 RGB faces at their native size, shrunk to `size_px` where that is smaller."""
        faces = [self._face(int(row)) for row in rows]
        if size_px == NATIVE_PX:
            return faces
        return [
            shrunk([face], [name], size_px, "clean")[0] if face is not None and max(face.shape[:2]) > size_px else face
            for face, name in zip(faces, (self._source.names[row] for row in rows), strict=True)
        ]

    def rows_at(self, size_px: int) -> NDArray[np.int64]:
        """Return all rows."""
        return np.arange(len(self))

    def view_key(self, size_px: int) -> str:
        """Return a hash of what `views` depends on."""
        return hashlib.sha256(f"{self._key} {size_px}".encode()).hexdigest()

    def _look(self, row: int) -> NDArray[np.float32]:
        """Return native size, what the picture was taken for, and five landmarks; NaN where it cannot be read."""
        found, name = np.full(_COLUMNS, np.nan, np.float32), self._source.names[row]
        try:
            image = self._source.read(row)
            if self._source.landmarks is not None:
                points = self._source.landmarks[row]
                pixels, seen_px = align_at_own_size(image, points)
                found[_KIND], found[_POINTS] = _LISTED, points.reshape(-1)
            elif self._source.aligned:
                pixels, seen_px, found[_KIND] = image, max(image.shape[:2]), _PUBLISHED
            else:
                face = self._reader.find(image, name)[0]
                pixels, seen_px = face.pixels, face.size_px
                found[_KIND] = _TAKEN.index(face.taken.value)
                if face.landmarks is not None:
                    found[_POINTS] = face.landmarks.reshape(-1)
        except UserError as error:
            self.failures[name] = str(error)
            return found
        found[_SIZE] = self._native.of(name, pixels, seen_px)
        return found

    def _face(self, row: int) -> Picture | None:
        size = int(self.size_px[row])
        if size == 0:
            return None
        points = self._seen[row, _POINTS]
        try:
            pixels = self._source.read(row)
            if not np.isnan(points[0]):
                pixels = align_at_own_size(pixels, points.reshape(5, 2))[0]
        except UserError as error:
            self.failures[self._source.names[row]] = str(error)
            return None
        return shrink_face(pixels, size) if size <= LARGEST_VLR_PX and max(pixels.shape[:2]) > size else pixels
