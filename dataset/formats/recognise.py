"""What a source is, by its content, and one table of how each format is recognised and read."""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from dataset.formats.archives import is_tar, is_webdataset, is_zip, open_tar, open_webdataset, open_zip
from dataset.formats.folders import has_landmark_lists, is_celeba, open_celeba, open_folder, open_landmarked
from dataset.formats.parquet import is_parquet, open_parquet
from dataset.formats.recordio import is_recordio, open_recordio
from dataset.formats.source import FormatError, Record, Source
from dataset.formats.verification_set import is_verification_set, open_verification_set
from dataset.photographs.layout import INDEX, NOBODY, UNLABELLED, LayoutError
from dataset.photographs.photograph_folders import is_photograph_name

AUTO = "auto"
Format = Literal["auto", "recordio", "bin", "parquet", "zip", "webdataset", "tar", "celeba", "landmarked", "folder"]
"""The keys of `FORMATS`, or `AUTO`."""


@dataclass(frozen=True)
class _Format:
    """How a format is recognised and read; `pattern`: images in it may be named by --identity-pattern."""

    fits: Callable[[Path], bool]
    read: Callable[[Path, str | None, Collection[Path]], Source]
    pattern: bool = False


_FILES = {
    "recordio": _Format(is_recordio, lambda path, *_: open_recordio(path)),
    "bin": _Format(is_verification_set, lambda path, *_: open_verification_set(path)),
    "parquet": _Format(is_parquet, lambda path, pattern, _: open_parquet(path, pattern != UNLABELLED)),
    "zip": _Format(is_zip, lambda path, pattern, _: open_zip(path, pattern), pattern=True),
    "webdataset": _Format(is_webdataset, lambda path, *_: open_webdataset(path)),
    "tar": _Format(is_tar, lambda path, pattern, _: open_tar(path, pattern), pattern=True),
}
_FOLDERS = {
    "celeba": _Format(is_celeba, lambda path, *_: open_celeba(path)),
    "landmarked": _Format(has_landmark_lists, open_landmarked, pattern=True),
    "folder": _Format(lambda path: path.is_dir() or path.suffix.lower() == ".csv", open_folder, pattern=True),
}
FORMATS = {**_FILES, **_FOLDERS}
"""Name to format; the first that fits is taken."""


def open_source(path: Path, wanted: str, pattern: str | None, leave_out: Collection[Path] = ()) -> Source:
    """Open what is there.

    Args:
        path: A file, a folder of photographs, or a folder of shards.
        wanted: A name of `FORMATS`, or `AUTO` to go by the content.
        pattern: Regular expression that finds the person in a file's stem, for folders and archives of them; or
            `UNLABELLED`, whatever the format says of people.
        leave_out: Folders and files below the path which hold no photographs.

    Raises:
        FormatError: It is of no format that is known, or not of the wanted one, or damaged.
        LayoutError: Images without a person.
    """
    shards = _shards(path, wanted) if path.is_dir() else {}
    if shards:
        source = _merged(path, [_open(each, name, pattern, ()) for each, name in shards.items()])
    else:
        name = wanted if wanted != AUTO else recognise(path)
        if not FORMATS[name].fits(path):
            raise FormatError(f"{path}: --format {name}, but its content is no such; leave it out to see what it is")
        source = _open(path, name, pattern, leave_out)
    if not source.records:
        first = f", the first: {source.problems[0].detail}" if source.problems else ""
        raise FormatError(f"{path}: {source.what}; none of its images can be read{first}")
    return source


def recognise(path: Path) -> str:
    """Return the name of the format of a file or folder.

    Raises:
        FormatError: No format fits.
        LayoutError: Nothing is there.
    """
    if not path.exists() and path.suffix.lower() != ".csv":
        raise LayoutError(f"{path}: no such folder; check the path")
    table = _FOLDERS if path.is_dir() else FORMATS
    if path.is_dir() and (path / INDEX).is_file():
        return "folder"
    found = next((name for name, each in table.items() if each.fits(path)), None)
    if found is None:
        raise FormatError(f"{path}: no such folder, and no file of a known format ({', '.join(_FILES)}, index CSV)")
    return found


def _open(path: Path, name: str, pattern: str | None, leave_out: Collection[Path]) -> Source:
    if pattern == UNLABELLED:
        return _without_people(FORMATS["tar" if name == "webdataset" else name].read(path, pattern, leave_out))
    if pattern is not None and not FORMATS[name].pattern:
        raise FormatError(f"--identity-pattern: {path} ({name}) says whose the images are; leave the pattern out")
    return FORMATS[name].read(path, pattern, leave_out)


def _without_people(source: Source) -> Source:
    """Return a source whose images are all of nobody, whatever it says of them."""
    source.records = [replace(record, person=NOBODY, split="") for record in source.records]
    source.pairs, source.rule = [], "nobody says (--unlabelled)"
    return source


def _shards(folder: Path, wanted: str) -> dict[Path, str]:
    """Return the files of a folder that has such and no images, each with its format.

    Raises:
        FormatError: Files of several formats.
    """
    if (wanted != AUTO and wanted not in _FILES) or (folder / INDEX).is_file() or _has_images(folder):
        return {}
    tried = {wanted: _FILES[wanted]} if wanted != AUTO else _FILES
    files = sorted(Path(entry.path) for entry in os.scandir(folder) if _may_be_shard(entry))
    found = {path: name for path in files if (name := _first_fit(path, tried))}
    kinds = sorted(set(found.values()))
    if "recordio" in kinds:  # its verification sets stand beside it
        return {path: name for path, name in found.items() if name == "recordio"}
    if len(kinds) > 1:
        raise FormatError(f"{folder}: files of several formats ({', '.join(kinds)}); give one of them, or --format")
    return found


def _first_fit(path: Path, tried: dict[str, _Format]) -> str | None:
    return next((name for name, each in tried.items() if each.fits(path)), None)


def _may_be_shard(entry: "os.DirEntry[str]") -> bool:
    return os.path.isfile(entry.path) and not entry.name.startswith(".")


def _has_images(folder: Path) -> bool:
    """Whether there are images in a folder, or among the first files of those in it."""
    for _, folders, files in islice(os.walk(folder, followlinks=True), 100):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(is_photograph_name(name) for name in islice(files, 1000)):
            return True
    return False


def _merged(path: Path, sources: list[Source]) -> Source:
    """Make one source of a folder's shards; names begin with that of the shard where there are several."""
    if len(sources) == 1:
        return sources[0]

    def read(record: Record) -> bytes:
        number, inner = record.place
        source: Source = sources[number]
        return source.read(inner)

    whole = Source(path, f"{len(sources)} files, the first a {sources[0].what}", sources[0].rule, [], read)
    for number, source in enumerate(sources):
        shard = source.path.name
        whole.records += [Record(f"{shard}/{each.name}", each.person, (number, each)) for each in source.records]
        for each in source.problems:
            whole.listed(f"{shard}/{each.image}", each.person, each.detail)
        if source.pairs:
            raise FormatError(f"{path}: {len(sources)} verification sets; give one of them")
        whole.notes += source.notes
        whole.lists += source.lists
        whole.files += source.files
        whole.passed_over += source.passed_over
    return whole
