"""Folders of photographs, and the lists that lie beside them: CelebA's, and landmarks of VGGFace2 and CASIA-WebFace.

    CelebA     identity_CelebA.txt (file and number a line), list_landmarks_align_celeba.txt or the in-the-wild list,
               list_eval_partition.txt (file and 0, 1 or 2 for train, val and test), in the folder or one below it
    VGGFace2   train/n000002/0001_01.jpg and loose_landmark_train.csv, in the folder or one below it
    CASIA      0000045/001.jpg and a list of file, label and ten numbers

Lists are told apart by their content, never by their names.
"""

import os
import re
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from dataset.formats.landmark_lists import is_landmark_list, named_as, read_any_landmarks
from dataset.formats.source import FormatError, Landmarks, Record, Source
from dataset.photographs.image_files import read_encoded
from dataset.photographs.intake import gather
from dataset.photographs.layout import INDEX, SPLITS
from dataset.photographs.photograph_folders import SUFFIXES, ending, is_photograph_name, paths_as_spelled
from engine.text import composed, first_lines, read_lines

_NUMBERED = re.compile(r"(\S+\.\w+)[ \t]+(\d+)\s*")
_LOOKED_AT = 1000
"""Entries of a sub-folder in which a list is looked for."""


def is_celeba(path: Path) -> bool:
    """Whether a folder has a list of whose each image is, as CelebA's."""
    return path.is_dir() and _identity_list(path) is not None


def open_celeba(path: Path) -> Source:
    """Read CelebA's lists; images that are not there are left out, with a note.

    Raises:
        FormatError: No images where the lists say, or a damaged list.
    """
    identity = _identity_list(path)
    assert identity is not None
    people = _read_numbered(identity)
    root, landmarks, of_landmarks = _images_and_landmarks(path, next(iter(people)))
    partition = next((each for each in _text_files(path) if each != identity and _is_partition(each)), None)
    parts = _read_numbered(partition) if partition else {}
    here = os.path.relpath(root, path)
    prefix = "" if here == "." else f"{here}/".replace(os.sep, "/")
    source = Source(path, "", f"list {identity.name}", [], _FileReader(path))
    source.lists = [each for each in (identity, of_landmarks, partition) if each is not None]
    there = {composed(entry.name): entry.name for entry in _entries(root)}
    landmarks = named_as(landmarks, there.values())
    part_of: dict[int, int] = {}
    for listed, person in people.items():
        split = SPLITS[parts[listed]] if listed in parts else ""
        name = there.get(listed)
        if name is None:
            continue
        if listed in parts and part_of.setdefault(person, parts[listed]) != parts[listed]:
            source.listed(prefix + name, str(person), f"{root / name}: person {person} is in another part as well")
            continue
        source.records.append(Record(prefix + name, str(person), None, landmarks.get(name), split))
        source.files.append(root / name)
    if lacking := len(people) - len(there.keys() & people.keys()):
        source.notes.append(f"{root}: {lacking} of the {len(people)} images that {identity.name} lists are not there")
    for name in sorted(name for each, name in there.items() if each not in people):
        if is_photograph_name(name):
            source.listed(prefix + name, "", f"{root / name}: {identity.name} does not say whose it is")
    landmarked = f", landmarks of {of_landmarks.name}" if of_landmarks else ""
    parted = f", parts of {partition.name}" if partition else ""
    source.what = f"CelebA's layout, {len(source.records)} images in {root.name}{landmarked}{parted}"
    return source


def has_landmark_lists(path: Path) -> bool:
    """Whether a folder has people's folders and lists of landmarks that name their images."""
    return path.is_dir() and not (path / INDEX).is_file() and bool(_landmark_lists(path))


def open_landmarked(path: Path, pattern: str | None, leave_out: Collection[Path]) -> Source:
    """Read folders of people with the lists of landmarks beside them.

    Raises:
        FormatError: A damaged list.
        LayoutError: Images without a person.
    """
    source = Source(path, "", "name of the folder", [], _FileReader(path))
    for each, root in _landmark_lists(path).items():
        inner = open_folder(root, pattern, leave_out)
        table = named_as(read_any_landmarks(each), [record.name for record in inner.records])
        here = os.path.relpath(root, path)
        prefix = "" if here == "." else f"{here}/".replace(os.sep, "/")
        source.lists.append(each)
        source.files += inner.files
        source.passed_over += inner.passed_over
        for problem in inner.problems:
            source.listed(prefix + problem.image, problem.person, problem.detail)
        source.records += [
            Record(prefix + record.name, record.person, None, table.get(record.name)) for record in inner.records
        ]
    known = sum(record.landmarks is not None for record in source.records)
    source.what = f"folders of people, landmarks of {known} of {len(source.records)} images listed"
    return source


def open_folder(path: Path, pattern: str | None, leave_out: Collection[Path]) -> Source:
    """Read a folder of people's folders, of files with a pattern, or with an index.

    Raises:
        LayoutError: Images without a person.
    """
    gathered = gather(path, pattern, leave_out)
    found, photos = gathered.found, gathered.photos
    source = Source(path, f"folder, {len(photos)} images", gathered.rule, [], _FileReader(found.root))
    source.records = [Record(photo.source, photo.person, attributes=photo.attributes) for photo in photos]
    source.lists = [gathered.index] if gathered.index else []
    source.files = found.paths
    source.passed_over = found.passed_over
    for name, why in found.problems.items():
        source.listed(name, name.partition("/")[0], why)
    return source


class _FileReader:
    """Reads files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, record: Record) -> bytes:
        return read_encoded(self.root / record.name)


def _text_files(folder: Path) -> Iterator[Path]:
    """Yield files that may be lists: of the folder, then of those in it."""
    below = []
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if os.path.isdir(entry.path):
            below.append(Path(entry.path))
        elif _may_be_list(entry):
            yield Path(entry.path)
    for each in below[:_LOOKED_AT]:
        yield from sorted(Path(entry.path) for entry in islice(_entries(each), _LOOKED_AT) if _may_be_list(entry))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield what is in a folder; nothing of one that may not be entered, which the walk for photographs lists."""
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        yield from entries


def _may_be_list(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith(".") and ending(entry.name) not in SUFFIXES and os.path.isfile(entry.path)


def _identity_list(folder: Path) -> Path | None:
    return next((each for each in _text_files(folder) if _is_numbered(each) and not _is_partition(each)), None)


def _is_numbered(path: Path) -> bool:
    lines = [line for line in first_lines(path) if line.strip()]
    return bool(lines) and all(_NUMBERED.fullmatch(line) for line in lines)


def _is_partition(path: Path) -> bool:
    return _is_numbered(path) and set(_read_numbered(path).values()) <= {0, 1, 2}


def _read_numbered(path: Path) -> dict[str, int]:
    """Read lines of a file's name, composed, and a number."""
    table: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        match = _NUMBERED.fullmatch(line)
        if match:
            if table.setdefault(composed(match[1]), int(match[2])) != int(match[2]):
                raise FormatError(f"{path}, line {number}: {match[1]} is named twice; remove one line")
        elif line.strip():
            raise FormatError(f"{path}, line {number}: {line[:60]!r} is no file and number; mend or remove the line")
    return table


def _images_and_landmarks(path: Path, name: str) -> tuple[Path, dict[str, Landmarks], Path | None]:
    """Return the folder of the images, and the list of landmarks that is meant for it.

    The aligned images and those in the wild have the same names; the list's name says of which it is.
    """
    roots = [each for each in _folders(path) if paths_as_spelled(each)(name)]
    if not roots:
        raise FormatError(f"{path}: no folder in it has {name}, the first image of the list; unpack the images there")
    lists = [each for each in _text_files(path) if is_landmark_list(each)]
    root = next((each for each in roots if "align" in each.name), roots[0])
    fitting = [each for each in lists if ("align" in each.name) == ("align" in root.name)] or lists[:1]
    if not fitting or (len(lists) > 1 and len(roots) > 1 and not any("align" in each.name for each in roots)):
        return root, {}, None
    return root, read_any_landmarks(fitting[0]), fitting[0]


def _landmark_lists(path: Path) -> dict[Path, Path]:
    """Return lists of landmarks, and for each the folder that its names are relative to."""
    found: dict[Path, Path] = {}
    for each in _text_files(path):
        if is_landmark_list(each):
            name = next(iter(read_any_landmarks(each)))
            root = next((root for root in _folders(path) if _exists(root, name)), None)
            if root is not None and "/" in name and root not in found.values():
                found[each] = root
    return found


def _exists(root: Path, name: str) -> bool:
    spelled = paths_as_spelled(root)
    return any(spelled(f"{name}{suffix}") for suffix in ("", *sorted(SUFFIXES)))


def _folders(path: Path) -> Iterator[Path]:
    """Yield a folder, those in it, and those in them."""
    yield path
    below = sorted(Path(entry.path) for entry in _entries(path) if os.path.isdir(entry.path))
    yield from below
    for each in below:
        yield from sorted(Path(entry.path) for entry in _entries(each) if os.path.isdir(entry.path))
