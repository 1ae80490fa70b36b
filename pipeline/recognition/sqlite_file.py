"""The file under a gallery: made whole, told from other files, its errors in one line."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.errors import UserError

APPLICATION_ID = 0x44535245  # "DSRE", where `file` and others look for the owner of an SQLite file
VERSION = 1
PRIVATE = 0o600
WAIT_SECONDS = 60.0
_MAGIC = b"SQLite format 3\0"
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_SCHEMA = """
CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE face (
    id INTEGER PRIMARY KEY,
    person TEXT NOT NULL,
    source TEXT NOT NULL,
    embedding BLOB NOT NULL,
    quality REAL NOT NULL,
    size_px INTEGER NOT NULL,
    added TEXT NOT NULL,
    UNIQUE (person, source)
) STRICT;
"""


class GalleryError(UserError):
    """A gallery that is missing, damaged, of another kind or of another model."""


def write_new(path: Path, settings: Mapping[str, str | bytes | float]) -> None:
    """Write a gallery without people, which only its owner may read; one that is there already is kept.

    That holds for one that another process makes meanwhile, too.

    Raises:
        GalleryError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        fresh = Path(folder) / path.name
        with in_one_line(path):
            connection = sqlite3.connect(fresh)
            try:
                connection.executescript(
                    f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; {_SCHEMA}"
                )
                with connection:
                    connection.executemany("INSERT INTO setting VALUES (?, CAST(? AS BLOB))", settings.items())
            finally:
                connection.close()
        fresh.chmod(PRIVATE)  # journals beside it get the same rights
        try:
            os.link(fresh, path)  # unlike a rename, never replaces
        except FileExistsError:
            return
        except OSError:  # FAT and exFAT know no hard links
            _copy_exclusively(fresh, path)


def check_file(path: Path) -> None:
    """Tell other files from galleries by their first bytes, before SQLite may touch them.

    Raises:
        GalleryError: Missing, empty, or not a gallery of this version.
    """
    if not path.is_file():
        raise GalleryError(f"{path}: no such gallery; enrol somebody first, or check the path")
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        raise GalleryError(f"{path}: empty file, not a gallery; remove it or choose another path")
    if not header.startswith(_MAGIC) or int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise GalleryError(f"{path}: not a gallery of this program; choose another path")
    if int.from_bytes(header[60:64]) != VERSION:
        raise GalleryError(f"{path}: gallery version {int.from_bytes(header[60:64])}, this program reads {VERSION}")


@contextmanager
def in_one_line(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a `GalleryError` that names the gallery."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise GalleryError(f"{path}: busy for {WAIT_SECONDS:.0f} s; let the other process finish") from None
        raise GalleryError(
            f"{path}: {error}; check that there is space, and that the file and its folder can be read and written"
        ) from None
    except sqlite3.DatabaseError as error:
        raise GalleryError(f"{path}: damaged ({error}); restore a copy") from None


@contextmanager
def writing(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Hold the gallery for one transaction and overwrite its journal afterwards.

    The lock is kept beyond the end of the transaction, so that no other process deletes the journal, or uses it for a
    transaction of its own, before that.

    Raises:
        GalleryError: Busy, or it cannot be written; nothing has changed then.
    """
    with in_one_line(path):
        connection.execute("BEGIN EXCLUSIVE")
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            yield
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            real = path.resolve()
            _erase_journal(real.with_name(f"{real.name}-journal"))
            connection.execute("PRAGMA locking_mode=NORMAL")
            connection.execute("SELECT 1 FROM setting").fetchone()  # SQLite lets go of the lock at the next access


def _erase_journal(journal: Path) -> None:
    """Overwrite a journal with zeros and delete it, unless SQLite still needs it to roll back."""
    try:
        with journal.open("rb+") as file:
            if any(file.read(len(_JOURNAL_MAGIC))):  # SQLite has zeroed it in a journal that is done with
                return
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        journal.unlink()
    except (FileNotFoundError, PermissionError):  # nothing was written; Windows deletes no open file, SQLite will
        return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE)


def _copy_exclusively(fresh: Path, path: Path) -> None:
    """Copy a file where none is; a copy that fails is removed."""
    try:
        with open(path, "xb", opener=_private) as target:
            try:
                target.write(fresh.read_bytes())
                target.flush()
                os.fsync(target.fileno())
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        return
