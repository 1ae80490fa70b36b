"""What the photographs in a folder are: one answer for every command that reads pictures.

A photograph is a file whose ending is that of a picture format. Links are followed, each folder is entered once: by
its own path before any link to it, and never by a link to a folder around it. Hidden files and what cameras, network
drives and operating systems leave behind are none. A pipe or a link to nothing that is named like a photograph is
listed, and reading it says what it is; what nobody can look into is a problem; all else is counted by its ending.
"""

import contextlib
import errno
import os
import re
import stat
import sys
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from engine.errors import UserError
from engine.text import composed, printable

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}
    | {".png", ".apng", ".webp", ".avif", ".avifs", ".gif", ".tif", ".tiff", ".bmp", ".dib", ".tga", ".qoi"}
    | {".jp2", ".j2k", ".jpf", ".jpx", ".pbm", ".pgm", ".pnm", ".ppm"}
)
"""What is taken for a photograph, in lower case."""

_UNREAD = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".psd"}
    | {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"}
)
"""Photographs in formats that are not read here."""

_SYSTEM = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recently-snapshot",
        "@recycle",
        "@tmp",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "lost+found",
        "network trash folder",
        "recycler",
        "system volume information",
        "temporary items",
        "thumbs.db",
    }
)
"""Left behind by Synology, QNAP, macOS, Windows and Linux; in lower case."""

_HIDDEN = "hidden or of the system"
_AGAIN = "links to folders that are read anyway, or that lead back up"


class FolderError(UserError):
    """A path without photographs."""


@dataclass(frozen=True)
class Photographs:
    """The photographs of a folder, or one by itself.

    Attributes:
        root: The folder.
        names: Paths of the photographs below it, with forward slashes, sorted.
        problems: What could not be looked into, by name below the folder: a line each, which names the path.
        passed_over: How many other files there are, by their ending.
        others: The names of those that are not hidden.
    """

    root: Path
    names: list[str]
    problems: dict[str, str] = field(default_factory=dict)
    passed_over: "Counter[str]" = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """The photographs."""
        return [self.root / name for name in self.names]

    def words(self) -> str:
        """Say in one line what was passed over; nothing where nothing was."""
        return f"{self.root}: {passed_over_words(self.passed_over)}" if self.passed_over else ""

    def tell(self) -> None:
        """Print what was passed over, beside the results."""
        if words := self.words():
            print(words, file=sys.stderr, flush=True)


def find_photographs(path: Path, leave_out: Collection[Path] = ()) -> Photographs:
    """Find the photographs in a folder; a file that is named by itself is taken whatever its ending.

    Args:
        path: The folder, or a file.
        leave_out: Folders and files below it that are passed over and not counted.

    Raises:
        FolderError: There is nothing of that name, or nothing in it.
    """
    if not path.is_dir():
        if not os.path.lexists(path):
            raise FolderError(f"{path}: no such file or folder; check the path")
        return Photographs(path.parent, [path.name])
    found = look_through(path, leave_out)
    if not found.names:
        for problem in found.problems.values():
            raise FolderError(problem)
        nothing = "a photograph ends in .jpg, .png or another picture's ending"
        there = passed_over_words(found.passed_over) if found.passed_over else nothing
        raise FolderError(f"{path}: no images in this folder ({there}); check the path")
    return found


def look_through(folder: Path, leave_out: Collection[Path] = ()) -> Photographs:
    """Walk through a folder, which may hold no photographs; `leave_out` as for `find_photographs`."""
    return _Walk(folder, leave_out).photographs()


def paths_as_spelled(folder: Path) -> Callable[[str], str | None]:
    """Return what finds paths below a folder however their letters are composed.

    It takes a path with forward slashes and gives it as it is spelled on the disk; None where nothing is there.
    """

    @cache
    def entries(place: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {".": ["."], "..": [".."]}
        with contextlib.suppress(OSError):
            for entry in sorted(os.listdir(folder / place)):
                found.setdefault(composed(entry), []).append(entry)
        return found

    def spelled(path: str) -> str | None:
        if os.path.lexists(folder / path):
            return path
        if path.isascii():  # which has one form
            return None
        places = [""]  # several where folders stand there in several forms
        for part in path.split("/"):
            places = [f"{place}{entry}/" for place in places for entry in entries(place).get(composed(part), [])]
        return places[0].removesuffix("/") if places else None

    return spelled


def is_photograph_name(name: str) -> bool:
    """Whether a path in an archive is that of a photograph, by its ending and the folders that it is in."""
    return passed_over_as(name) is None


def passed_over_as(name: str) -> str | None:
    """Return as what a path in an archive is counted that is no photograph's; None where it is one."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if any(map(_is_hidden, parts)):
        return _HIDDEN
    return None if ending(name) in SUFFIXES else ending(name)


def ending(name: str) -> str:
    """Return the ending of a file's name in lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()


def passed_over_words(counts: Mapping[str, int]) -> str:
    """Say in one line how many files of which endings are no photographs."""
    unread = sorted(_UNREAD & counts.keys())
    remedy = f"; photographs in {', '.join(unread)} are not read, convert them to JPEG or PNG" if unread else ""
    most = sorted(counts.items(), key=lambda kind_count: (-kind_count[1], kind_count[0]))
    each = (f"{count} {kind or 'without an ending'}" for kind, count in most)
    return f"passed over {', '.join(map(printable, each))}{remedy}"


def tell_failures(reasons: Iterable[str]) -> int:
    """Print a line for each photograph that failed, beside the results; return the exit code, 1 where there are any."""
    failed = list(reasons)
    for reason in failed:
        print(f"failed: {printable(reason)}", file=sys.stderr, flush=True)
    return int(bool(failed))


def what_it_is(mode: int) -> str:
    """Say what something that is no file is, from its `st_mode`."""
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "no file")


class _Walk:
    """One walk through a folder: first what stands in it, then behind its links."""

    def __init__(self, root: Path, leave_out: Collection[Path]) -> None:
        self._root, self._real_root = root, os.path.realpath(root)
        self._out = {os.path.realpath(each) for each in leave_out}
        self._folders: list[tuple[str, str]] = [("", self._real_root)]  # name below the root, real path
        self._links: deque[tuple[str, str]] = deque()  # name below the root, real path of the folder it stands in
        self._entered: set[str] = set()
        self._found = Photographs(root, [])

    def photographs(self) -> Photographs:
        while self._folders or self._links:
            if self._folders:
                self._enter(*self._folders.pop())
            else:
                self._follow(*self._links.popleft())
        self._found.names.sort()
        self._found.others.sort()
        return self._found

    def _enter(self, name: str, real: str) -> None:
        if real in self._entered:
            self._found.passed_over[_AGAIN] += 1
            return
        self._entered.add(real)
        try:
            with os.scandir(os.path.join(self._root, name)) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._problem(name, f"cannot be looked into ({_reason(error)}); allow this user to read it")
            return
        for entry in ordered:
            if os.path.join(real, entry.name) not in self._out:
                self._look(entry, f"{name}/{entry.name}" if name else entry.name, real)

    def _look(self, entry: "os.DirEntry[str]", name: str, real: str) -> None:
        if _is_hidden(entry.name):
            self._found.passed_over[_HIDDEN] += 1
        elif re.search("[\ud800-\udfff]", entry.name):  # how Python holds bytes that are no text
            self._problem(name, "the name is not UTF-8; rename it")
        elif entry.is_dir(follow_symlinks=False):
            self._folders.append((name, os.path.join(real, entry.name)))
        elif entry.is_symlink() and os.path.isdir(entry.path):
            self._links.append((name, real))
        elif ending(entry.name) in SUFFIXES:
            self._found.names.append(name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            self._problem(name, "a link that leads nowhere; mend or remove it")
        else:
            self._found.passed_over[ending(entry.name)] += 1
            self._found.others.append(name)

    def _follow(self, name: str, place: str) -> None:
        target = os.path.realpath(os.path.join(self._root, name))
        if target in self._out:
            return
        if any(_is_around(target, inner) for inner in (place, self._real_root)):
            self._found.passed_over[_AGAIN] += 1
        else:
            self._folders.append((name, target))

    def _problem(self, name: str, what: str) -> None:
        self._found.problems[printable(name)] = f"{printable(str(self._root / name))}: {what}"


def _is_around(folder: str, inner: str) -> bool:
    return inner == folder or inner.startswith(folder.rstrip(os.sep) + os.sep)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO).lower()
