"""The files of a packed store, and what its header must say of them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.files import write_json
from engine.text import read_json

SIZE_PX = 112
VERSION = 2
FACES, IMAGES, OFFSETS, INDEX, HEADER = "faces.u8", "faces.images", "faces.offsets", "faces.index", "faces.json"
AGAIN = "prepare the split again with --overwrite"
_FACE_BYTES = SIZE_PX * SIZE_PX * 3

Kind = Literal["raw", "encoded", "source"]
"""Where the faces are: as pixels, as images in a file of their own, or in the file that they came in."""


class StoreError(UserError):
    """A packed store that is missing, damaged or of another version."""


class Names(Sequence[str]):
    """Names in an index, decoded when asked for."""

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


def write_header(
    path: Path,
    count: int,
    people: int,
    digests: dict[str, str],
    labelled: bool = True,
    kind: Kind = "raw",
    source: dict[str, Any] | None = None,
) -> None:
    """Write `faces.json`, which makes the other files a store.

    Args:
        path: The store's folder.
        count: Number of faces.
        people: Number of people.
        digests: File name to SHA-256.
        labelled: Whether it is known whose the faces are.
        kind: Where the faces are.
        source: Of kind "source": path, size in bytes and SHA-256 of the images, one after the other.
    """
    header: dict[str, Any] = {
        "version": VERSION,
        "count": count,
        "size_px": SIZE_PX,
        "people": people,
        "files": digests,
    }
    header |= {} if labelled else {"labelled": False}
    header |= {} if kind == "raw" else {"store": kind}
    header |= {} if source is None else {"source": source}
    write_json(path / HEADER, {**header, "sha256": content_hash(header)})


def index_bytes(person: NDArray[np.int64], images: list[str], people: list[str]) -> bytes:
    """Return the content of `faces.index`: (N,) numbers of people, names of images, sorted names of people."""
    numbers, text = [person], []
    for names in (images, people):
        encoded = [name.encode("utf-8") for name in names]
        numbers.append(np.cumsum([0, *map(len, encoded)], dtype=np.int64))
        text += encoded
    return np.concatenate(numbers).tobytes() + b"".join(text)


def numbers_before_names(count: int, people: int) -> int:
    """Return how many int64 stand before the names of an index."""
    return 2 * count + 1 + people + 1


def content_hash(header: dict[str, Any]) -> str:
    """Return what identifies the content of a store: its files, wherever they lie."""
    content = [header["count"], header["people"], header["files"], *([] if header.get("labelled", True) else [False])]
    content += [header["source"]["sha256"]] if "source" in header else []
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_header(folder: Path) -> dict[str, Any]:
    """Read `faces.json`.

    Raises:
        StoreError: It is missing, damaged or of another version.
    """
    path = folder / HEADER
    if not path.is_file():
        raise StoreError(f"{folder}: no packed faces ({HEADER}) here; make them with python -m dataset prepare")
    try:
        header: dict[str, Any] = read_json(path)
        found = (header["version"], header["size_px"])
        if found == (VERSION, SIZE_PX):
            header["files"], header["sha256"]
            if kind_of(header) not in ("raw", "encoded", "source"):
                raise ValueError("store")
            if kind_of(header) == "source":
                Path(header["source"]["file"]), int(header["source"]["bytes"]), header["source"]["sha256"]
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


def kind_of(header: dict[str, Any]) -> Kind:
    """Return where the faces of a store are."""
    kind: Kind = header.get("store", "raw")
    return kind


def check_sizes(folder: Path, header: dict[str, Any]) -> None:
    """Raise `StoreError` where a file does not have the size that its header asks for."""
    count, people, kind = int(header["count"]), int(header["people"]), kind_of(header)
    names_at = 8 * numbers_before_names(count, people)
    if kind == "raw":
        _check_size(folder / FACES, count * _FACE_BYTES, "exactly", count)
    else:
        _check_size(folder / OFFSETS, 8 * count, "exactly", count)
    if kind == "encoded":
        _check_size(folder / IMAGES, int(np.memmap(folder / OFFSETS, np.int64, "r")[-1]), "exactly", count)
    if kind == "source":
        _check_source(folder, header["source"])
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


def _check_source(folder: Path, source: dict[str, Any]) -> None:
    file = Path(source["file"])
    found = file.stat().st_size if file.is_file() else -1
    if found != source["bytes"]:
        state = "not there" if found < 0 else f"{found} bytes where there were {source['bytes']}"
        raise StoreError(
            f"{file}: {state}, and the faces of {folder} are in it; put it back, or prepare the split again"
        )
