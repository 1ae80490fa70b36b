"""File after file: which photographs a folder holds, and what happens to those that fail."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dataset.photographs.seen_faces import PhotographError
from engine.errors import UserError


def photograph_files(places: Iterable[Path]) -> dict[Path, Path]:
    """Return files and the files of folders, in order and each once, with the place that each was found by.

    Raises:
        PhotographError: A place that is not there, or a folder without files; hidden ones count for nothing.
    """
    found: dict[Path, Path] = {}
    for place in places:
        for path in [place] if place.is_file() else _files_of(place):
            found.setdefault(path, place)
    return found


def people_of(files: dict[Path, Path]) -> list[list[Path]]:
    """Part files by whose they are where each folder shows one person, and the files given by themselves another."""
    parts: dict[Path | None, list[Path]] = {}
    for path, place in files.items():
        parts.setdefault(None if path == place else place, []).append(path)
    return list(parts.values())


def _files_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise PhotographError(f"{folder}: no such file or folder; check the path")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise PhotographError(f"{folder}: holds no files; give a folder of photographs")
    return files


def each(files: Iterable[Path], handle: Callable[[Path], None], tell: Callable[[str], None]) -> list[dict[str, str]]:
    """Handle file after file; one that fails is told in one line and the rest goes on.

    Returns:
        The failures, as file and reason.
    """
    return list(_failures(files, handle, tell))


def _failures(
    files: Iterable[Path], handle: Callable[[Path], None], tell: Callable[[str], None]
) -> Iterator[dict[str, str]]:
    for path in files:
        try:
            handle(path)
        except UserError as error:
            reason = str(error)
        except PermissionError as error:
            reason = f"{path}: {str(error.strerror).lower()}; allow this user to read it"
        else:
            continue
        tell(f"failed: {reason}")
        yield {"photograph": str(path), "error": reason}
