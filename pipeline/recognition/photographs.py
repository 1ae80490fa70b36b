"""File after file: which photographs were named on the command line, and what happens to those that fail."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dataset.photographs.photograph_folders import find_photographs
from engine.errors import UserError
from engine.text import printable

Tell = Callable[[str], None]
"""Takes a line about a photograph that failed."""


@dataclass(frozen=True)
class Named:
    """Photographs that were named by themselves or by folders.

    Attributes:
        files: Photographs in order and each once, with the place that each was found by.
        problems: What stands in the folders and cannot be looked into, a line each.
    """

    files: dict[Path, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """How many there are, those included that cannot be looked into."""
        return len(self.files) + len(self.problems)

    def people(self) -> list[list[Path]]:
        """Part files by whose they are where each folder is of one person, and the files by themselves of another."""
        parts: dict[Path | None, list[Path]] = {}
        for path, place in self.files.items():
            parts.setdefault(None if path == place else place, []).append(path)
        return list(parts.values())

    def tell_problems(self, tell: Tell) -> int:
        """Tell the problems; return how many there are."""
        for problem in self.problems:
            tell(_failed(problem))
        return len(self.problems)


def photograph_files(places: Iterable[Path]) -> Named:
    """Return the photographs that places name, and say of each folder what in it was passed over.

    Raises:
        FolderError: A place that is not there, or a folder without photographs.
    """
    named = Named()
    for place in places:
        found = find_photographs(place)
        found.tell()
        named.problems.extend(found.problems.values())
        for path in found.paths if place.is_dir() else [place]:
            named.files.setdefault(path, place)
    return named


def each(files: Iterable[Path], handle: Callable[[Path], None], tell: Tell) -> int:
    """Handle file after file; one that fails is told in one line and the rest goes on.

    Returns:
        How many failed.
    """
    failed = 0
    for path in files:
        try:
            handle(path)
        except UserError as error:
            tell(_failed(str(error)))
            failed += 1
    return failed


def _failed(reason: str) -> str:
    return f"failed: {printable(reason)}"
