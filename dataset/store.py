"""Aligned faces of one split as one memory-mapped array: a batch is a slice, nothing is decoded.

    faces.u8      N faces, uint8 (112, 112, 3) RGB, one after the other
    faces.index   int64: N person numbers, N + 1 offsets of image names, P + 1 offsets of people's names;
                  then the names as UTF-8, images first
    faces.json    version, count (N), people (P), size_px, and the SHA-256 of both files; written last. Where nobody
                  said whose the faces are, "labelled" is false, and all are of one person who is none

Names and numbers are memory-mapped too: a store of a million faces takes no more memory than one of ten thousand.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.files import atomic_path, sha256_of, write_bytes, write_json
from engine.text import read_json

SIZE_PX = 112
VERSION = 2
FACES, INDEX, HEADER = "faces.u8", "faces.index", "faces.json"
AGAIN = "prepare the split again with --overwrite"
_FACE_BYTES = SIZE_PX * SIZE_PX * 3


class StoreError(UserError):
    """A packed store that is missing, damaged or of another version."""


class FaceStore:
    """N aligned faces and whose they are; use `open` or `build`.

    Attributes:
        path: Folder that holds the three files.
        images: Name of each row, relative to `hr_images`, with forward slashes; reads like a list of str.
        people: Sorted names of the people; reads like a list of str.
        person: (N,) int64, index into `people`.
        faces: (N, 112, 112, 3) uint8 RGB, memory-mapped.
        sha256: Identifies the content: pixels, names and people.
        labelled: Whether it is known whose the faces are.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        count = int(header["count"])
        self.path = path
        self.sha256: str = header["sha256"]
        self.labelled = bool(header.get("labelled", True))
        self._header = header
        self.faces: NDArray[np.uint8] = np.memmap(path / FACES, np.uint8, "r", shape=(count, SIZE_PX, SIZE_PX, 3))
        index = path / INDEX
        numbers = np.memmap(index, np.int64, "r", shape=(_numbers(count, int(header["people"])),))
        self.person: NDArray[np.int64] = numbers[:count]
        of_images, of_people = numbers[count : 2 * count + 1], numbers[2 * count + 1 :]
        self.images: Sequence[str] = _Names("face", index, of_images, numbers.nbytes)
        self.people: Sequence[str] = _Names("person", index, of_people, numbers.nbytes + int(of_images[-1]))

    @classmethod
    def open(cls, path: str | Path) -> "FaceStore":
        """Open the store in a split's folder (or given by one of its files), checking sizes but not every byte.

        Raises:
            StoreError: It is missing, of another version, its files do not have the size they should have, or a face
                belongs to nobody.
        """
        folder = Path(path)
        if folder.name in (FACES, INDEX, HEADER):
            folder = folder.parent
        header = _read_header(folder)
        _check_sizes(folder, int(header["count"]), int(header["people"]))
        store = cls(folder, header)
        if not 0 <= int(store.person.min()) <= int(store.person.max()) < len(store.people):
            raise StoreError(f"{folder / INDEX}: damaged, a face has a person who is not there; prepare it again")
        return store

    @classmethod
    def build(cls, path: Path, faces: Iterable[NDArray[np.uint8]], images: list[str], people: list[str]) -> "FaceStore":
        """Write a store into a folder and open it.

        Args:
            path: Folder; a store that is already there is replaced.
            faces: As many (112, 112, 3) uint8 RGB arrays as there are images; read one by one.
            images: Name of each row.
            people: Person of each row.

        Raises:
            StoreError: No faces, a face of another shape, or lists of different lengths.
        """
        if not images or len(images) != len(people):
            raise StoreError(
                f"{path}: {len(images)} images and {len(people)} people; a store needs one person an image"
            )
        count = 0
        with StoreWriter(path) as writer:
            for face in faces:
                if count == len(images):
                    raise StoreError(f"{path}: more than {count} faces; a store needs one image a face")
                writer.add(face, images[count], people[count])
                count += 1
            if count != len(images):
                raise StoreError(f"{path}: {count} faces for {len(images)} images; a store needs one face an image")
        return cls.open(path)

    def __len__(self) -> int:
        return len(self.person)

    def batch(self, rows: Sequence[int] | NDArray[np.int64] | Tensor) -> Tensor:
        """Return the faces of these rows: (B, 3, 112, 112) uint8 RGB, in channels-last memory order.

        Raises:
            IndexError: A row that is not there.
        """
        taken = self.faces[np.asarray(rows, np.int64)]
        return torch.from_numpy(taken).permute(0, 3, 1, 2)

    def verify(self) -> None:
        """Read every byte.

        Raises:
            StoreError: A file is not what was written; it is named.
        """
        for name, digest in self._header["files"].items():
            if sha256_of(self.path / name) != digest:
                raise StoreError(f"{self.path / name}: damaged, its checksum differs from {HEADER}'s; {AGAIN}")
        if self.sha256 != _content_hash(self._header):
            raise StoreError(f"{self.path / HEADER}: damaged, its own checksum differs; {AGAIN}")


class _Names(Sequence[str]):
    """Names, decoded when asked for."""

    def __init__(self, kind: str, path: Path, offsets: NDArray[np.int64], start: int) -> None:
        self._kind, self._path, self._offsets = kind, path, offsets
        self._text = np.memmap(path, np.uint8, "r", offset=start, shape=(int(offsets[-1]),))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        try:
            return bytes(self._text[self._offsets[row] : self._offsets[row + 1]]).decode("utf-8")
        except UnicodeDecodeError:
            raise StoreError(f"{self._path}: damaged, the name of {self._kind} {row} is no text; {AGAIN}") from None


class StoreWriter:
    """Writes a store face by face: `with StoreWriter(path) as writer: writer.add(...)`.

    Nothing that `FaceStore.open` accepts is there before the block ends without an exception.

    Args:
        path: Folder of the store; one that is already there is replaced.
        labelled: Whether it is known whose the faces are.
    """

    def __init__(self, path: Path, labelled: bool = True) -> None:
        self._path, self._labelled = path, labelled
        self._images: list[str] = []
        self._people: list[str] = []
        self._digest = hashlib.sha256()
        self._open_files = ExitStack()

    def __enter__(self) -> Self:
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / HEADER).unlink(missing_ok=True)  # without it there is no store, whatever happens from here on
        temporary = self._open_files.enter_context(atomic_path(self._path / FACES))
        self._file = self._open_files.enter_context(temporary.open("wb"))
        return self

    def add(self, face: NDArray[np.uint8], image: str, person: str) -> None:
        """Append a (112, 112, 3) uint8 RGB face.

        Raises:
            StoreError: It has another shape or type.
        """
        if face.shape != (SIZE_PX, SIZE_PX, 3) or face.dtype != np.uint8:
            raise StoreError(f"{image}: {face.dtype} {face.shape}, a store takes uint8 (112, 112, 3); align it first")
        data = np.ascontiguousarray(face).data
        self._digest.update(data)
        self._file.write(data)
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
            write_bytes(self._path / INDEX, index)
            digests = {FACES: self._digest.hexdigest(), INDEX: hashlib.sha256(index).hexdigest()}
            write_header(self._path, len(self._images), len(names), digests, self._labelled)


def write_header(path: Path, count: int, people: int, digests: dict[str, str], labelled: bool = True) -> None:
    """Write `faces.json`, which makes the two other files a store.

    Args:
        path: The store's folder.
        count: Number of faces.
        people: Number of people.
        digests: File name to SHA-256.
        labelled: Whether it is known whose the faces are.
    """
    header = {"version": VERSION, "count": count, "size_px": SIZE_PX, "people": people, "files": digests}
    header |= {} if labelled else {"labelled": False}
    write_json(path / HEADER, {**header, "sha256": _content_hash(header)})


def index_bytes(person: NDArray[np.int64], images: list[str], people: list[str]) -> bytes:
    """Return the content of `faces.index`: (N,) numbers of people, names of images, sorted names of people."""
    numbers, text = [person], []
    for names in (images, people):
        encoded = [name.encode("utf-8") for name in names]
        numbers.append(np.cumsum([0, *map(len, encoded)], dtype=np.int64))
        text += encoded
    return np.concatenate(numbers).tobytes() + b"".join(text)


def _numbers(count: int, people: int) -> int:
    """Return how many int64 stand before the names of an index."""
    return 2 * count + 1 + people + 1


def _content_hash(header: dict[str, Any]) -> str:
    content = [header["count"], header["people"], header["files"], *([] if header.get("labelled", True) else [False])]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    if not path.is_file():
        raise StoreError(f"{folder}: no packed faces ({HEADER}) here; make them with python -m dataset prepare")
    try:
        header: dict[str, Any] = read_json(path)
        found = (header["version"], header["size_px"])
        if found == (VERSION, SIZE_PX):
            header["files"], header["sha256"]
            if min(int(header["count"]), int(header["people"])) < 1:
                raise ValueError("count")
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path}: damaged, not a store's description; prepare the split again") from None
    if found != (VERSION, SIZE_PX):
        raise StoreError(
            f"{path}: version {found[0]} with faces of {found[1]} px, this program reads {VERSION} and {SIZE_PX}; "
            "prepare the split again"
        )
    return header


def _check_sizes(folder: Path, count: int, people: int) -> None:
    names_at = 8 * _numbers(count, people)
    _check_size(folder / FACES, count * _FACE_BYTES, "exactly", count)
    _check_size(folder / INDEX, names_at, "at least", count)
    numbers = np.memmap(folder / INDEX, np.int64, "r", shape=(names_at // 8,))
    ends = int(numbers[2 * count]), int(numbers[-1])
    if min(ends) < 0:
        raise StoreError(f"{folder / INDEX}: damaged, names end before they begin; prepare the split again")
    length = sum(ends)
    _check_size(folder / INDEX, names_at + length, "exactly", count)


def _check_size(path: Path, size: int, how: str, count: int) -> None:
    found = path.stat().st_size if path.is_file() else -1
    if found < size or (found > size and how == "exactly"):
        state = "missing" if found < 0 else f"{found} bytes"
        raise StoreError(f"{path}: {state}, expected {how} {size} for {count} faces; prepare the split again")
