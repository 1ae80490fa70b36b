"""Writes a packed store face by face: as pixels, as images, or as places in the file that they came in."""

import hashlib
from array import array
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dataset.encoded_faces import is_decoded_from
from dataset.photographs.image_files import encode_image
from dataset.store_files import (
    FACES,
    HEADER,
    IMAGES,
    INDEX,
    OFFSETS,
    SIZE_PX,
    Kind,
    StoreError,
    index_bytes,
    write_header,
)
from engine.files import atomic_path, write_bytes


class StoreWriter:
    """Writes a store of pixels: `with StoreWriter(path) as writer: writer.add(...)`.

    Nothing that `FaceStore.open` accepts is there before the block ends without an exception.

    Args:
        path: Folder of the store; one that is already there is replaced.
        labelled: Whether it is known whose the faces are.
    """

    kind: ClassVar[Kind] = "raw"
    file: ClassVar[str | None] = FACES
    """What receives the content of the faces, if anything."""

    def __init__(self, path: Path, labelled: bool = True) -> None:
        self._path, self._labelled = path, labelled
        self._images: list[str] = []
        self._people: list[str] = []
        self._digest = hashlib.sha256()
        self._open_files = ExitStack()

    def __enter__(self) -> Self:
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / HEADER).unlink(missing_ok=True)  # without it there is no store, whatever happens from here on
        if self.file:
            temporary = self._open_files.enter_context(atomic_path(self._path / self.file))
            self._file = self._open_files.enter_context(temporary.open("wb"))
        return self

    def add(self, face: NDArray[np.uint8], image: str, person: str, data: bytes = b"", place: Any = None) -> None:
        """Append a (112, 112, 3) uint8 RGB face.

        Args:
            face: Its pixels.
            image: Its name.
            person: Whose it is.
            data: The image that it came from, encoded.
            place: Where that stands in its source.

        Raises:
            StoreError: It has another shape or type, or is none that the source holds as it is.
        """
        if face.shape != (SIZE_PX, SIZE_PX, 3) or face.dtype != np.uint8:
            raise StoreError(f"{image}: {face.dtype} {face.shape}, a store takes uint8 (112, 112, 3); align it first")
        content = self._content(face, image, data, place)
        self._digest.update(content)
        if self.file:
            self._file.write(content)
        self._images.append(image)
        self._people.append(person)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_files.__exit__(kind, error, trace)
        if error is None:
            names = sorted(set(self._people))
            number = {name: index for index, name in enumerate(names)}
            index = index_bytes(np.array([number[name] for name in self._people], np.int64), self._images, names)
            digests = {self.file: self._digest.hexdigest()} if self.file else {}
            for name, content in {INDEX: index, **self._more()}.items():
                write_bytes(self._path / name, content)
                digests[name] = hashlib.sha256(content).hexdigest()
            counts = len(self._images), len(names)
            write_header(self._path, *counts, digests, self._labelled, self.kind, self._source())

    def _content(self, face: NDArray[np.uint8], image: str, data: bytes, place: Any) -> bytes | memoryview:
        return np.ascontiguousarray(face).data

    def _more(self) -> dict[str, bytes]:
        return {}

    def _source(self) -> dict[str, Any] | None:
        return None


class EncodedWriter(StoreWriter):
    """Keeps the images as they were compressed; what was aligned becomes a PNG, which loses nothing."""

    kind: ClassVar[Kind] = "encoded"
    file: ClassVar[str | None] = IMAGES

    def __init__(self, path: Path, labelled: bool = True) -> None:
        super().__init__(path, labelled)
        self._offsets = array("q")
        self._end = 0

    def _content(self, face: NDArray[np.uint8], image: str, data: bytes, place: Any) -> bytes:
        content = data if is_decoded_from(face, data) else encode_image(face)
        self._end += len(content)
        self._offsets.append(self._end)
        return content

    def _more(self) -> dict[str, bytes]:
        return {OFFSETS: self._offsets.tobytes()}


class SourceWriter(EncodedWriter):
    """Keeps where in a RecordIO file the images are, and copies nothing.

    Args:
        path: Folder of the store.
        source: The `.rec`.
        labelled: Whether it is known whose the faces are.
    """

    kind: ClassVar[Kind] = "source"
    file: ClassVar[str | None] = None

    def __init__(self, path: Path, source: Path, labelled: bool = True) -> None:
        super().__init__(path, labelled)
        self._record_file = source

    def _content(self, face: NDArray[np.uint8], image: str, data: bytes, place: Any) -> bytes:
        if not is_decoded_from(face, data):
            raise StoreError(
                f"{self._record_file}, {image}: no aligned face of 112x112 as it stands there; pass --store encoded"
            )
        self._offsets.append(place)
        return data

    def _source(self) -> dict[str, Any]:
        file = self._record_file.resolve()
        return {"file": file.as_posix(), "bytes": file.stat().st_size, "sha256": self._digest.hexdigest()}
