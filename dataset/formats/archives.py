"""Folders in zip and tar archives, and WebDataset's shards, read in place: nothing is unpacked to disk.

A compressed tar can only be read from its beginning; its images are read in their order, one pass through the file for
each time that all of them are wanted.
"""

import lzma
import tarfile
import threading
import weakref
import zipfile
import zlib
from pathlib import Path
from typing import Any

from dataset.formats.members import Member, by_folder, by_sample, has_samples, usable_images
from dataset.formats.source import FormatError, Record, Source, checked_size, first_bytes, no_reading
from dataset.photographs.image_files import ImageError

_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    LookupError,
)
"""What damaged archives raise; RuntimeError is an encrypted member's."""
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip archive does."""
    return first_bytes(path, 4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar archive does, compressed or not."""
    first = first_bytes(path)
    if len(first) == 512 and not first.startswith(_COMPRESSED):
        return _is_tar_header(first)
    try:
        with tarfile.open(path, "r:*") as archive:
            return archive.next() is not None
    except _ERRORS:
        return False


def is_webdataset(path: Path) -> bool:
    """Whether a tar archive has samples: an image and what says whose it is, under one key."""
    return is_tar(path) and has_samples(member.name for member in _tar_members(path)[0])


def open_zip(path: Path, pattern: str | None) -> Source:
    """Read a zip archive of people's folders.

    Raises:
        FormatError: Its table of contents cannot be read.
        LayoutError: Images without a person.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _ERRORS as error:
        raise FormatError(f"{path}: a damaged zip archive ({_words(error)}); copy it again") from None
    members = [Member(info.filename, info, info.file_size, _zip_refusal(info)) for info in archive.infolist()]
    source = Source(path, "", "", [], _ZipReader(path, archive), files=[path])
    by_folder(source, usable_images(source, members), pattern)
    source.what = f"zip archive of folders, {len(source.records)} images"
    return source


def open_tar(path: Path, pattern: str | None) -> Source:
    """Read a tar archive of people's folders.

    Raises:
        FormatError: It cannot be read.
        LayoutError: Images without a person.
    """
    source, members = _opened_tar(path)
    by_folder(source, usable_images(source, members), pattern)
    source.what = f"tar archive of folders, {len(source.records)} images"
    return source


def open_webdataset(path: Path) -> Source:
    """Read a shard of samples: `KEY.jpg` and `KEY.cls` or `KEY.json`.

    Raises:
        FormatError: It cannot be read.
    """
    source, members = _opened_tar(path)
    by_sample(source, members, source.read)
    source.what = f"WebDataset shard, {len(source.records)} images"
    return source


def _opened_tar(path: Path) -> tuple[Source, list[Member]]:
    members, damaged = _tar_members(path)
    if not members:
        raise FormatError(f"{path}: a tar archive of which nothing can be read; copy it again")
    source = Source(path, "", "", [], no_reading, files=[path])
    for what in damaged:
        source.listed(what, "", f"{path}: {what}; copy the archive again")
    source.read = _TarReader(path)
    return source, members


def _tar_members(path: Path) -> tuple[list[Member], list[str]]:
    """Return the files of a tar archive in their order, and the stretches of it that are no tar."""
    members, damaged = [], []
    try:
        with tarfile.open(path, "r:*", ignore_zeros=True) as archive:
            follows = 0
            for info in archive:
                if info.offset > follows and not _is_padding(archive, follows, info.offset):
                    damaged.append(f"bytes {follows} to {info.offset} are damaged, files in them are lost")
                follows = max(follows, archive.offset)
                members.append(Member(info.name, (info.offset_data, info.size), info.size, _tar_refusal(info)))
            end = _length(archive)
            if end > follows and not _is_padding(archive, follows, end):
                damaged.append(f"bytes {follows} to {end} are damaged, files in them are lost")
    except _ERRORS as error:
        damaged.append(f"cut off or damaged ({_words(error)}), files behind it are lost")
    return [member for member in members if member.place is not None], damaged


def _length(archive: tarfile.TarFile) -> int:
    file: Any = archive.fileobj
    return int(file.seek(0, 2))


def _is_padding(archive: tarfile.TarFile, first: int, after: int) -> bool:
    """Whether bytes of an archive are zeros, or a header for all that follows."""
    file = archive.fileobj
    if file is None:
        return True
    back = file.tell()
    file.seek(first)
    if file.read(tarfile.BLOCKSIZE)[156:157] == tarfile.XGLTYPE:
        file.seek(back)
        return True
    file.seek(first)
    while first < after:
        block = file.read(min(2**20, after - first))
        if not block:
            break
        if block.count(0) != len(block):
            file.seek(back)
            return False
        first += len(block)
    file.seek(back)
    return True


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except _ERRORS:
        return False
    return True


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to {info.linkname}"
    if info.issparse() or not info.isreg():
        return "no plain file"
    return ""


def _zip_refusal(info: zipfile.ZipInfo) -> str:
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        return "a link"
    return "encrypted" if info.flag_bits & 1 else ""


class _TarReader:
    """Reads files of a tar archive, fastest in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive = tarfile.open(path, "r:*")  # noqa: SIM115 (open as long as its source is)
        weakref.finalize(self, self._archive.close)
        self._turn = threading.Lock()

    def __call__(self, record: Record) -> bytes:
        name = f"{self._path}/{record.name}"
        offset, size = record.place.place
        checked_size(name, size)
        file = self._archive.fileobj
        assert file is not None
        try:
            with self._turn:
                file.seek(offset)
                data = file.read(size)
        except _ERRORS as error:
            raise ImageError(f"{name}: cannot be read ({_words(error)}); copy the archive again") from None
        if len(data) != size:
            raise ImageError(f"{name}: cut off, {len(data)} of {size} bytes; copy the archive again")
        return data


class _ZipReader:
    """Reads files of a zip archive; what does not have its checksum is refused."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive

    def __call__(self, record: Record) -> bytes:
        name = f"{self._path}/{record.name}"
        checked_size(name, record.place.size)
        try:
            return self._archive.read(record.place.place)
        except _ERRORS as error:
            raise ImageError(f"{name}: cannot be read ({_words(error)}); copy the archive again") from None


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
