"""What stands beside a RecordIO file: its index, its list of names, and how many people it has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.text import TextError, read_lines, read_text


@dataclass(frozen=True)
class Walk:
    """The records of a file as they follow each other.

    Attributes:
        starts: Offset of each.
        gaps: First and last offset of stretches in which there is none.
        size: Bytes of the file.
    """

    starts: Sequence[int]
    gaps: list[tuple[int, int]]
    size: int


@dataclass(frozen=True)
class Entries:
    """The records of a file by their keys.

    Attributes:
        keys: Key of each record.
        starts: Offset of each.
        lost: Key (None where no index tells) of what is damaged or missing, and why.
        note: What is wrong with the index; empty where nothing is.
    """

    keys: list[int]
    starts: list[int]
    lost: list[tuple[int | None, str]] = field(default_factory=list)
    note: str = ""


def read_index(path: Path) -> list[tuple[int, int]] | None:
    """Read lines of key and offset; None where the file has others."""
    try:
        rows = [line.split() for line in read_lines(path) if line.strip()]
        return [(int(key), int(offset)) for key, offset in rows]
    except ValueError:
        return None


def read_people(path: Path) -> int | None:
    """Read the number of people from `property`; None without such a file."""
    try:
        return int(read_text(path).split(",")[0])
    except (OSError, ValueError):
        return None


def read_names(path: Path) -> dict[int, str]:
    """Read the names of images from `.lst`, by key: lines of key, labels and path, or of InsightFace's kind.

    InsightFace's lines begin with 1 for an aligned image, then path and label; their keys are their line numbers. A
    name that two records have is left out.
    """
    if not path.is_file():
        return {}
    try:
        rows = [line.split("\t") for line in read_lines(path)]
    except TextError:
        return {}
    names: dict[int, str] = {}
    for number, row in enumerate(rows, 1):
        if len(row) >= 3 and row[0].isdecimal():
            by_key = not _is_number(row[-1]) and _is_number(row[1])
            names[int(row[0]) if by_key else number] = row[-1] if by_key else row[1]
    several = len(set(names.values())) < len(names)
    return {} if several else names


def choose_entries(walk: Walk, index: list[tuple[int, int]] | None) -> Entries:
    """Say which record is where: by the index where it fits, else by their order, which is what writers count.

    An index fits that names all records of the file, and of which half or more are there.
    """
    if index is None:
        return _counted(walk, "missing or no index; made anew from the records")
    there = set(walk.starts)
    named = {offset for _, offset in index}
    hits = len(there & named)
    if not there <= named or 2 * hits < len(named) or len(named) < len(index):
        return _counted(walk, f"does not fit {len(walk.starts)} records; made anew from them")
    return Entries(
        [key for key, offset in index if offset in there],
        [offset for _, offset in index if offset in there],
        [(key, f"record {key}: damaged or cut off at byte {offset}") for key, offset in index if offset not in there],
    )


def _counted(walk: Walk, note: str) -> Entries:
    lost: list[tuple[int | None, str]] = [
        (None, f"bytes {first} to {after}: damaged, no record; copy the file again") for first, after in walk.gaps
    ]
    return Entries(list(range(len(walk.starts))), list(walk.starts), lost, note)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
