"""Verification sets as the field passes them on: `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin` and so on.

A pickle of two lists: encoded images, of which the first two are a pair, the next two another and so on; and for each
pair whether it shows one person (InsightFace, `recognition/arcface_torch/eval/verification.py`). Pairs are judged in
ten parts of equal length, in their order.
"""

import pickle
from pathlib import Path
from typing import Any

from dataset.formats.plain_pickle import PickleRefusedError, PlainArray, read_plain_pickle
from dataset.formats.source import FormatError, Record, Source, first_bytes
from dataset.photographs.image_files import ImageError
from dataset.photographs.pairs import Pair
from engine.files import write_bytes

FOLDS = 10


def is_verification_set(path: Path) -> bool:
    """Whether a file begins as a pickle of protocol 2 to 5 does."""
    first = first_bytes(path, 2)
    return len(first) == 2 and first[0] == 0x80 and 2 <= first[1] <= 5


def open_verification_set(path: Path) -> Source:
    """Read all images' bytes into memory.

    People are known by pairs alone: those of a matched pair are one, and images with the same bytes are of one. Who is
    not joined so may be one person all the same: use the pairs, not searches.

    Raises:
        FormatError: It is damaged, asks for anything but plain values, or is not two lists.
    """
    images, same = read_lists(path)
    count = min(len(images) // 2, len(same))
    people = _people(images, same[:count])
    doubtful = [pair for pair in range(count) if not same[pair] and people[2 * pair] == people[2 * pair + 1]]
    read = _Reader(path, images)
    source = Source(path, "", "matched pairs and equal images: of pairs only, not of searches", [], read, files=[path])
    source.records = [Record(_name(person, row), person, row) for row, person in enumerate(people)]
    for row in range(2 * count, len(images)):
        source.listed(f"image {row}", "", f"{path}, image {row}: in no pair")
    if len(same) > count:
        source.notes.append(f"{path}: {len(same) - count} of {len(same)} pairs lack their images and are left out")
    if doubtful:
        source.notes.append(f"{path}: {len(doubtful)} pairs are said to show two people and one; they are left out")
    source.pairs = [
        Pair((people[2 * pair], 2 * pair + 1), (people[2 * pair + 1], 2 * pair + 2), fold_of(pair, count))
        for pair in sorted(set(range(count)) - set(doubtful))
    ]
    source.what = f"verification set, {len(images)} images, {count} pairs ({sum(same[:count])} of one person)"
    return source


def fold_of(pair: int, count: int) -> int:
    """Return the part of a pair, from 1: ten parts in order, of which the first have one more where it must be."""
    size, more = divmod(count, min(FOLDS, count))
    longer = more * (size + 1)
    return 1 + (pair // (size + 1) if pair < longer else more + (pair - longer) // size)


class _Reader:
    """Hands out the images."""

    def __init__(self, path: Path, images: list[Any]) -> None:
        self._path, self._images = path, images

    def __call__(self, record: Record) -> bytes:
        return encoded_image(self._path, self._images, record.place)


def read_lists(path: Path) -> tuple[list[Any], list[bool]]:
    """Return the images, for `encoded_image`, and of each pair whether it shows one person.

    Raises:
        FormatError: It is damaged, asks for anything but plain values, or is not two lists.
    """
    try:
        found = read_plain_pickle(path.read_bytes())
    except PickleRefusedError as error:
        raise FormatError(f"{path}: a pickle that is no verification set: {error}; nothing of it was run") from None
    if not isinstance(found, tuple | list) or len(found) != 2 or not isinstance(found[0], list):
        raise FormatError(f"{path}: a pickle, but not of two lists (images, booleans); is it a verification set?")
    images, same = found
    if isinstance(same, PlainArray) and same.kind in ("b1", "u1"):
        same = list(same.data)
    if not isinstance(same, list) or not all(isinstance(each, int) and each in (0, 1) for each in same):
        raise FormatError(f"{path}: its second list does not say of each pair whether it is one person")
    if min(len(images) // 2, len(same)) == 0:
        raise FormatError(f"{path}: a verification set without pairs")
    return images, [bool(each) for each in same]


def encoded_image(path: Path, images: list[Any], row: int) -> bytes:
    """Return the bytes of an image of the first list.

    Raises:
        ImageError: It is no encoded image.
    """
    data = _encoded(images[row])
    if data is None:
        kind = type(images[row]).__name__
        raise ImageError(f"{path}, image {row}: no encoded image ({kind}); make the file again")
    return data


def write_verification_set(path: Path, images: list[bytes], same: list[bool]) -> None:
    """Write encoded images, two for each pair, and whether each pair shows one person.

    They are plain lists of bytes and booleans, in a pickle of protocol 4.
    """
    write_bytes(path, pickle.dumps((images, same), protocol=4))


def _encoded(image: Any) -> bytes | None:
    if isinstance(image, PlainArray) and image.kind in ("u1", "i1") and max(image.shape, default=0) == len(image.data):
        return image.data
    return bytes(image) if isinstance(image, bytes | bytearray) else None


def _people(images: list[Any], same: list[bool]) -> list[str]:
    """Return the person of each image that is in a pair: images joined by matched pairs and by equal bytes."""
    parent = list(range(2 * len(same)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    first: dict[bytes, int] = {}
    for row in parent.copy():
        data = _encoded(images[row])
        if data:
            parent[root(row)] = root(first.setdefault(data, row))
    for pair, one in enumerate(same):
        if one:
            parent[root(2 * pair + 1)] = root(2 * pair)
    return [f"person_{root(row):06d}" for row in range(len(parent))]


def _name(person: str, row: int) -> str:
    return f"{person}/{person}_{row + 1:04d}"
