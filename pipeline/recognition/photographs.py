"""File after file: which photographs a folder holds, and what happens to those that fail."""

from collections.abc import Callable, Iterator
from pathlib import Path

from dataset.photographs.seen_faces import PhotographError
from engine.errors import UserError


def photograph_files(root: Path) -> list[Path]:
    """Return the files of a folder in order, without hidden ones; or the one file.

    Raises:
        PhotographError: There is nothing.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise PhotographError(f"{root}: no such file or folder; check the path")
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not files:
        raise PhotographError(f"{root}: holds no files; give a folder of photographs")
    return files


def each(files: list[Path], handle: Callable[[Path], None], tell: Callable[[str], None]) -> list[dict[str, str]]:
    """Handle file after file; one that fails is told in one line and the rest goes on.

    Returns:
        The failures, as file and reason.
    """
    return list(_failures(files, handle, tell))


def _failures(
    files: list[Path], handle: Callable[[Path], None], tell: Callable[[str], None]
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
