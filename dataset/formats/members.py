"""Files inside archives: which are images, whose they are, and which are refused."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dataset.formats.source import Record, Source
from dataset.photographs.image_files import ImageError
from dataset.photographs.layout import LayoutError, identify
from dataset.photographs.photograph_folders import is_photograph_name, passed_over_as, passed_over_words
from engine.text import decode_text

_PERSON_KEYS = ("person", "identity", "label", "class", "cls", "person_id", "identity_id", "class_id", "subject_id")
"""Where a sample's JSON says whose face it is; the first that is there."""
_MOST_SIDE_BYTES = 2**20


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its path.
        place: Where its bytes are, for the archive's own reader.
        size: Bytes it says it has.
        refused: Why it is not read; empty where it is.
    """

    name: str
    place: Any
    size: int
    refused: str = ""


Read = Callable[[Record], bytes]


def climbs_out(name: str) -> bool:
    """Whether a path would lead out of the folder it is unpacked in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")


def usable_images(source: Source, members: Iterable[Member]) -> list[Member]:
    """Return the images among an archive's members; those that are refused are listed."""
    kept: dict[str, Member] = {}
    for member in members:
        kind = passed_over_as(member.name)
        if kind is not None:
            source.passed_over[kind] += 1
            continue
        refused = member.refused or ("its path climbs out of the archive" if climbs_out(member.name) else "")
        refused = refused or ("a second file of this name" if member.name in kept else "")
        if refused:
            source.listed(member.name, "", f"{source.path}/{member.name}: {refused}; not read")
        else:
            kept[member.name] = member
    return list(kept.values())


def by_folder(source: Source, images: list[Member], pattern: str | None) -> None:
    """Take each image's person from its folder, or from its name by a pattern.

    A folder around all others is passed over, as archives of a folder have one.

    Raises:
        LayoutError: Images in no folder, without a pattern.
    """
    names = [member.name.removeprefix("./") for member in images]
    first = {name.partition("/")[0] for name in names}
    if len(first) == 1 and all(name.count("/") >= 2 for name in names):
        names = [name.partition("/")[2] for name in names]
    if not names:
        there = passed_over_words(source.passed_over) if source.passed_over else f"{len(source.problems)} refused"
        raise LayoutError(f"{source.path}: an archive without images that can be read ({there}); check the path")
    faces, source.rule = identify(source.path, names, pattern)
    source.records = [Record(face.image, face.person, member) for face, member in zip(faces, images, strict=True)]


def has_samples(names: Iterable[str]) -> bool:
    """Whether files stand beside images of the same key that say whose they are, as in WebDataset's shards."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for name in names:
        key, kind = split_key(name)
        kinds[key].add(kind)
    return any(
        each & {"cls", "json"} and any(is_photograph_name(f"x.{kind}") for kind in each) for each in kinds.values()
    )


def split_key(name: str) -> tuple[str, str]:
    """Return a member's key and what it holds, as WebDataset does: at the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    stem, _, kind = file.partition(".")
    return f"{folder}{slash}{stem}", kind.lower()


def by_sample(source: Source, members: list[Member], read: Read) -> None:
    """Take each image's person from the `.cls` or `.json` of its key."""
    source.rule = ".cls or .json of the key"
    images: dict[str, Member] = {}
    said: dict[str, dict[str, Member]] = defaultdict(dict)
    usable = {member.name for member in usable_images(source, members)}
    for member in members:
        key, kind = split_key(member.name)
        if kind in ("cls", "json") and not member.refused:
            said[key].setdefault(kind, member)
        elif member.name in usable and key in images and images[key] is not member:
            source.listed(member.name, "", f"{source.path}/{member.name}: a second image of the key {key}; not read")
        elif member.name in usable:
            images[key] = member
        usable.discard(member.name)
    for key, member in images.items():
        person, why = _person_of(said[key], read)
        if person:
            source.records.append(Record(member.name, person, member))
        else:
            source.listed(member.name, "", f"{source.path}/{member.name}: {why}")


def _person_of(said: dict[str, Member], read: Read) -> tuple[str, str]:
    """Return the person that the files of a key name, or why there is none."""
    for kind, member in said.items():
        try:
            if member.size > _MOST_SIDE_BYTES:
                raise ValueError("too large")
            text = decode_text(read(Record(member.name, "", member)), member.name).strip()
            value = text if kind == "cls" else _from_json(json.loads(text))
        except (ValueError, RecursionError, ImageError) as error:
            return "", f"its .{kind} cannot be read ({' '.join(str(error).split())[:80]})"
        if value not in ("", None):
            return str(value), ""
    return "", "no .cls or .json of its key says whose face it is"


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        found = next((value[key] for key in _PERSON_KEYS if key in value), None)
        return found if isinstance(found, str | int) and not isinstance(found, bool) else None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None
