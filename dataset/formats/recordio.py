"""MXNet's image RecordIO: `train.rec`, perhaps with `train.idx`, `train.lst` and `property` beside it.

    record    uint32 0xced7230a, uint32 part << 29 | length, the bytes, zeros to a multiple of 4
    part      0 a whole record; 1 the first, 2 a middle, 3 the last part of one whose bytes held the magic number at a
              multiple of 4, which stands between the parts and is left out
    content   uint32 flag, float32 label, uint64 id, uint64 id2; flag more float32 labels; the encoded image
    idx       a line each: key, tab, offset
    property  people, height, width

(dmlc-core, `recordio.h`; MXNet, `image_recordio.h`.) InsightFace's record 0 has two labels, the keys at which the
images end and at which the people end; a person's record has no image but the range of their keys.
"""

import mmap
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset.formats.recordio_index import Entries, Walk, choose_entries, read_index, read_names, read_people
from dataset.formats.source import Record, Source, checked_size, first_bytes
from dataset.photographs.image_files import ImageError

MAGIC = struct.pack("<I", 0xCED7230A)
_HEAD, _LABEL = struct.Struct("<II"), struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_MOST_LABELS = 1024


def is_recordio(path: Path) -> bool:
    """Whether a file begins as RecordIO does."""
    return first_bytes(path, 4) == MAGIC


def open_recordio(path: Path) -> Source:
    """Read the labels of all records; the images stay where they are.

    An index that is missing, or does not fit the file, is made anew from the file itself, in memory.
    """
    file = RecordFile(path)
    index, property_, names = path.with_suffix(".idx"), path.with_name("property"), path.with_suffix(".lst")
    source = Source(path, "", "label of the record", [], file.read, files=[path])
    entries = choose_entries(file.walk(), read_index(index) if index.is_file() else None)
    source.notes += [f"{index}: {entries.note}"] if entries.note else []
    source.lists += [each for each in (index, property_, names) if each.is_file()]
    _take(source, file, entries, read_people(property_), read_names(names))
    there = len({record.person for record in source.records})
    source.what = f"RecordIO, {len(source.records)} images of {there} people"
    return source


@dataclass
class _Announced:
    """What the file says of itself."""

    people: int | None
    images_end: int | None = None
    """Key behind the last image's, where record 0 says so."""

    def is_image(self, key: int | None) -> bool:
        return key is None or self.images_end is None or key < self.images_end


def _take(source: Source, file: "RecordFile", entries: Entries, people: int | None, names: dict[int, str]) -> None:
    """Sort the records into images, headers and problems."""
    said = _Announced(people)
    for position, (key, start) in enumerate(zip(entries.keys, entries.starts, strict=True)):
        name = names.get(key) or f"{key:08d}"
        try:
            labels, size = file.labels(start, name)
            if position == 0 and size == 0 and len(labels) == 2 and 1 <= labels[0] <= labels[1] < 2**31:
                said.images_end = int(labels[0])
                said.people = people if people is not None else int(labels[1] - labels[0])
            elif size or said.is_image(key):
                source.records.append(Record(name, _person(labels[0], size, said.people), start))
        except _RecordError as error:
            source.listed(name, "", f"{source.path}, record {key}: {error}")
        except ImageError as error:
            source.listed(name, "", str(error))
    for lost, why in entries.lost:
        if said.is_image(lost):
            source.listed(why if lost is None else names.get(lost, f"{lost:08d}"), "", f"{source.path}: {why}")
    _compare(source, said)


def _compare(source: Source, said: _Announced) -> None:
    """Say what the file announces and does not have."""
    there = len({record.person for record in source.records})
    if said.people is not None and 0 < there < said.people:
        source.notes.append(f"{source.path}: {said.people - there} of the {said.people} people announced have no image")
    found = len(source.records) + len(source.problems)
    if said.images_end is not None and found < said.images_end - 1:
        why = f"{source.path}: announces {said.images_end - 1} images, {found} are there; copy the file again"
        source.listed(f"{said.images_end - 1 - found} records", "", why)


class _RecordError(Exception):
    """A record that shows nobody."""


def _person(label: float, size: int, people: int | None) -> str:
    if size == 0:
        raise _RecordError("no image in it")
    if not 0 <= label < 2**31 or label != int(label):
        raise _RecordError(f"label {label:g} is no person's number")
    if people is not None and label >= people:
        raise _RecordError(f"label {label:g} is beyond the {people} people announced")
    return str(int(label))


class RecordFile:
    """A memory-mapped file of records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def walk(self) -> Walk:
        """Go from record to record by their lengths; where one is damaged, on to the next magic number."""
        starts, gaps, here, size = array("q"), [], 0, len(self._data)
        while here < size:
            after = self._end(here)
            if after is None:
                after = self._next_start(here + 4)
                gaps.append((here, after))
            else:
                starts.append(here)
            here = after
        return Walk(starts, gaps, size)

    def labels(self, start: int, name: str) -> tuple[tuple[float, ...], int]:
        """Return the labels of the record at an offset, and the bytes of its image.

        Raises:
            ImageError: There is no record, or none with labels.
        """
        part, length = self._head(start) or (_LAST, 0)
        if part == _WHOLE and length >= _LABEL.size:
            flag, label, _, _ = _LABEL.unpack_from(self._data, start + _HEAD.size)
            if flag == 0:
                return (label,), length - _LABEL.size
        content = self._content(start, name)
        labels, begins = _labels_of(content, f"{self._path}, record {name}")
        return labels, len(content) - begins

    def read(self, record: Record) -> bytes:
        """Return a record's encoded image.

        Raises:
            ImageError: There is none.
        """
        content = self._content(record.place, record.name)
        return content[_labels_of(content, f"{self._path}, record {record.name}")[1] :]

    def _content(self, start: int, name: str) -> bytes:
        parts = list(self._parts(start))
        if not parts:
            raise ImageError(f"{self._path}, record {name}: damaged, no record at byte {start}; copy the file again")
        checked_size(f"{self._path}, record {name}", sum(length for _, length in parts))
        return MAGIC.join(self._data[first : first + length] for first, length in parts)

    def _parts(self, start: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a record; nothing where it is not whole."""
        found, wanted = [], (_WHOLE, _FIRST)
        while True:
            head = self._head(start)
            if head is None or head[0] not in wanted:
                return
            found.append((start + _HEAD.size, head[1]))
            if head[0] in (_WHOLE, _LAST):
                break
            start, wanted = _after(start, head[1]), (_MIDDLE, _LAST)
        yield from found

    def _head(self, start: int) -> tuple[int, int] | None:
        """Return part and length of what stands at an offset, if it fits into the file."""
        if start < 0 or start + _HEAD.size > len(self._data) or self._data[start : start + 4] != MAGIC:
            return None
        _, packed = _HEAD.unpack_from(self._data, start)
        part, length = packed >> 29, packed & (2**29 - 1)
        return (part, length) if start + _HEAD.size + length <= len(self._data) else None

    def _end(self, start: int) -> int | None:
        """Return where the record at an offset ends; None where there is none, or another begins inside it."""
        parts = list(self._parts(start))
        if not parts:
            return None
        first, length = parts[-1]
        end = _after(first - _HEAD.size, length)
        follows = end >= len(self._data) or self._data[end : end + 4] == MAGIC
        return end if follows or self._next_start(first) >= end else None

    def _next_start(self, here: int) -> int:
        """Return the next offset at which a record may begin, or the end of the file."""
        while (found := self._data.find(MAGIC, here)) >= 0:
            head = self._head(found)
            if found % 4 == 0 and head is not None and head[0] in (_WHOLE, _FIRST):
                return found
            here = found + 1
        return len(self._data)


def _labels_of(content: bytes, name: str) -> tuple[tuple[float, ...], int]:
    """Return the labels and where the image begins."""
    if len(content) < _LABEL.size:
        raise ImageError(f"{name}: {len(content)} bytes, too few for a label")
    flag, label, _, _ = _LABEL.unpack_from(content)
    begins = _LABEL.size + 4 * flag
    if flag == 0:
        return (label,), begins
    if flag > _MOST_LABELS or begins > len(content):
        raise ImageError(f"{name}: damaged, announces {flag} labels in {len(content)} bytes")
    return struct.unpack_from(f"<{flag}f", content, _LABEL.size), begins


def _after(start: int, length: int) -> int:
    return start + _HEAD.size + (length + 3) // 4 * 4
