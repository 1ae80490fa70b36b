"""Writes MXNet's image RecordIO as InsightFace's trainings read it; `dataset.formats.recordio` has the layout.

Record 0 says at which keys the images and the people end, the images of each person follow each other, and a record for
each person has the range of their keys. Beside the file: the index, `property`, and a list of names.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, TextIO

from dataset.formats.recordio import MAGIC
from dataset.formats.source import FormatError
from engine.files import atomic_path, write_text
from engine.text import printable

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MOST_BYTES = 2**29 - 1


def write_recordio(path: Path, people: list[str], images: Iterable[tuple[str, str, bytes]], side_px: int) -> int:
    """Write a `.rec` with its `.idx`, `.lst` and `property`; return how many images it has.

    Args:
        path: The `.rec`.
        people: All of them; the label of a person is their place in it.
        images: Name, person and encoded bytes of each image, those of one person one after the other.
        side_px: Height and width of the images, which `property` says.

    Raises:
        FormatError: No images, the images of a person in two places, or an image of 512 MiB.
    """
    label = {person: number for number, person in enumerate(people)}
    ranges: dict[str, tuple[int, int]] = {}
    names: list[str] = []
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        index = stack.enter_context(atomic_path(path.with_suffix(".idx")))
        with temporary.open("wb") as file, index.open("w", encoding="ascii", newline="\n") as lines:
            _add(file, lines, 0, _header(0, 0, 0))  # its place is kept until the numbers are known
            key = 1
            for person, group in groupby(images, key=lambda image: image[1]):
                if person in ranges:
                    raise FormatError(f"{path}: the images of {person!r} stand in two places; sort them by person")
                first = key
                for name, _, data in group:
                    _add(file, lines, key, struct.pack("<IfQQ", 0, label[person], key, 0) + data)
                    names.append(f"{key}\t{label[person]}\t{printable(name)}\n")
                    key += 1
                ranges[person] = first, key
            end = key
            for person in people:
                if person in ranges:
                    _add(file, lines, key, _header(key, *ranges[person]))
                    key += 1
            file.seek(0)
            file.write(_record(_header(0, end, key)))
        if not names:
            raise FormatError(f"{path}: no image to write")
    write_text(path.with_suffix(".lst"), "".join(names))
    write_text(path.with_name("property"), f"{len(people)},{side_px},{side_px}")
    return len(names)


def _add(file: BinaryIO, lines: TextIO, key: int, content: bytes) -> None:
    """Append a record, and its key and offset to the index."""
    lines.write(f"{key}\t{file.tell()}\n")
    file.write(_record(content))


def _header(key: int, first: int, end: int) -> bytes:
    """Return the content of a record that has two labels and no image."""
    return struct.pack("<IfQQ2f", 2, 0, key, 0, first, end)


def _record(content: bytes) -> bytes:
    """Return a record, in parts where the magic number stands in its content at a multiple of four."""
    parts = list(_parts(content))
    kinds = [_WHOLE] if len(parts) == 1 else [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST]
    return b"".join(_part(kind, part) for kind, part in zip(kinds, parts, strict=True))


def _part(kind: int, content: bytes) -> bytes:
    if len(content) > _MOST_BYTES:
        raise FormatError(f"an image of {len(content)} bytes; RecordIO holds up to {_MOST_BYTES}")
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + b"\0" * (-len(content) % 4)


def _parts(content: bytes) -> Iterator[bytes]:
    begin = here = 0
    while (found := content.find(MAGIC, here)) >= 0:
        here = found + 1
        if found % 4 == 0:
            yield content[begin:found]
            begin = here = found + 4
    yield content[begin:]
