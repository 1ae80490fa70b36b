"""Faces that are kept as images, and decoded when a batch asks for them: here, or ahead of it in other processes.

What a batch holds does not depend on who decodes it, nor on what was announced.
"""

import hashlib
import io
import multiprocessing
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.formats.recordio import RecordFile
from dataset.formats.source import Record
from dataset.photographs.image_files import DECODER_ERRORS, ImageError
from dataset.store_files import IMAGES, OFFSETS, SIZE_PX, StoreError, kind_of
from engine.processes import follow_parent

ReadBytes = Callable[[int], bytes]
_Coming = dict[int, tuple["Future[NDArray[np.uint8]]", int]]


class EncodedFaces:
    """(N, 112, 112, 3) uint8 RGB; indexed by a row or by an array of rows.

    Args:
        path: Folder of the store.
        header: Its `faces.json`.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._path, self._header = path, header
        self._read = _open(path, header)
        self._pool: ProcessPoolExecutor | None = None
        self._processes = 0
        self._coming: _Coming = {}
        self._before: _Coming = {}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 112, 112, 3)."""
        return int(self._header["count"]), SIZE_PX, SIZE_PX, 3

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Return the faces of these rows, (B, 112, 112, 3), or of one, (112, 112, 3).

        Raises:
            StoreError: An image that cannot be decoded, or a process that was ended from outside.
        """
        if isinstance(rows, int | np.integer):
            return self._face(int(rows))
        wanted = np.arange(self.shape[0])[rows] if isinstance(rows, slice) else np.asarray(rows)
        faces = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for position, row in enumerate(wanted.tolist()):
            faces[position] = self._face(row)
        return faces

    def decode_ahead(self, processes: int) -> None:
        """Start processes that decode what `expect` announces, and end with this object; 0: none."""
        self._processes = processes
        if processes and self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
            self._pool = ProcessPoolExecutor(processes, context, _begin, (self._path, self._header))
            weakref.finalize(self, self._pool.shutdown, cancel_futures=True)

    def expect(self, rows: NDArray[np.int64]) -> None:
        """Announce the rows that are asked for after the next ones; those of two announcements ago are forgotten."""
        if self._pool is None:
            return
        known = {**self._before, **self._coming}
        wanted = np.unique(rows)
        new = [row for row in wanted.tolist() if row not in known]
        self._before, self._coming = self._coming, {row: known[row] for row in wanted.tolist() if row in known}
        for part in np.array_split(np.array(new, np.int64), self._processes):
            if len(part):
                decoded = self._submit(part.tolist())
                self._coming |= {row: (decoded, position) for position, row in enumerate(part.tolist())}

    def digest(self) -> str:
        """Return the SHA-256 of all images, one after the other."""
        digest = hashlib.sha256()
        for row in range(self.shape[0]):
            digest.update(self._read(row))
        return digest.hexdigest()

    def _submit(self, rows: list[int]) -> "Future[NDArray[np.uint8]]":
        try:
            return self._pool.submit(_decode_rows, rows)  # type: ignore[union-attr]
        except BrokenProcessPool:
            raise _ended() from None

    def _face(self, row: int) -> NDArray[np.uint8]:
        if not -self.shape[0] <= row < self.shape[0]:
            raise IndexError(row)
        row %= self.shape[0]
        found = self._coming.get(row) or self._before.get(row)
        if found is None:
            return _face_at(self._path, self._read, row)
        try:
            face: NDArray[np.uint8] = found[0].result()[found[1]]
            return face
        except BrokenProcessPool:
            raise _ended() from None


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of an image as they stand in it, (H, W, 3) uint8 RGB.

    Raises:
        ImageError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except DECODER_ERRORS as error:
        raise ImageError(str(error)) from None


def is_decoded_from(face: NDArray[np.uint8], data: bytes) -> bool:
    """Whether an encoded image is exactly this (112, 112, 3) face."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.size != face.shape[1::-1]:
                return False
        return np.array_equal(decode(data), face)
    except (ImageError, *DECODER_ERRORS):
        return False


def _open(path: Path, header: dict[str, Any]) -> ReadBytes:
    """Return what reads the image of a row."""
    offsets = np.memmap(path / OFFSETS, np.int64, "r")
    if kind_of(header) == "source":
        file = RecordFile(Path(header["source"]["file"]))
        return lambda row: file.read(Record(f"row {row}", "", int(offsets[row])))
    images = np.memmap(path / IMAGES, np.uint8, "r")
    return lambda row: images[offsets[row - 1] if row else 0 : offsets[row]].tobytes()


def _face_at(path: Path, read: ReadBytes, row: int) -> NDArray[np.uint8]:
    try:
        face = decode(read(row))
    except ImageError as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{path}: the image of row {row} is damaged ({reason}); prepare the split again") from None
    if face.shape != (SIZE_PX, SIZE_PX, 3):
        raise StoreError(f"{path}: the image of row {row} is {face.shape[1]}x{face.shape[0]}; prepare the split again")
    return face


def _ended() -> StoreError:
    return StoreError(
        "--readers: one of them was ended from outside, as happens where memory is short; run again with fewer"
    )


_store: tuple[Path, ReadBytes] | None = None
"""What this process decodes; set once, when it begins."""


def _begin(path: Path, header: dict[str, Any]) -> None:
    global _store
    follow_parent()
    _store = path, _open(path, header)


def _decode_rows(rows: Iterable[int]) -> NDArray[np.uint8]:
    if _store is None:
        raise RuntimeError("this process has not begun")
    return np.stack([_face_at(*_store, row) for row in rows])
