"""Files that are written whole or not at all."""

import hashlib
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray


@contextmanager
def atomic_path(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The bytes are flushed to the disk before the rename, so that after a power cut the name holds either the old
    file or the whole new one.

    Args:
        path: The file to write.
        private: Only its owner may read it; else who the umask lets.

    Raises:
        OSError: The disk is full or the folder cannot be written; the earlier file is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o600 if private else 0o666 & ~_umask())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A failed write does not know its file, or knows the temporary one.
        if isinstance(error, OSError) and error.errno and error.filename in (None, name):
            error.filename = str(path)
        raise


def make_writable(folder: Path) -> None:
    """Make a folder, and see before the work that files can be written in it afterwards.

    Raises:
        OSError: They cannot; it names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        error.filename = str(folder)
        raise


def user_cache() -> Path:
    """Return the folder for what this user's commands can make again; it need not exist yet."""
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return Path(given or Path.home() / ".cache") / "dsr-edgeface"
    except RuntimeError:  # a container's user without a home
        return Path(tempfile.gettempdir()) / "dsr-edgeface"


def writable_folder(wanted: Path, what: str, *others: Path) -> Path:
    """Return the first of several folders in which files can be written, and say so where it is not the one wanted.

    Args:
        wanted: Where the files belong, such as beside a data set, which may lie on a disk that is only read.
        what: Will be written, for the line on stderr.
        *others: Where else it may go.

    Raises:
        OSError: None can be written; it names the one wanted.
    """
    refused: OSError | None = None
    for folder in (wanted, *others):
        try:
            make_writable(folder)
        except OSError as error:
            refused = refused or error
            continue
        if refused is not None:
            reason = os.strerror(refused.errno or 0).lower()
            print(f"{wanted}: cannot be written ({reason}), so {what} goes to {folder}", file=sys.stderr)
        return folder
    assert refused is not None
    raise refused


def write_bytes(path: Path, data: bytes | memoryview, private: bool = False) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path, private) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write `text` to `path` atomically, as UTF-8 with Unix line ends."""
    write_bytes(path, text.encode("utf-8"), private)


def write_json(path: Path, value: Any, private: bool = False) -> None:
    """Write `value` to `path` atomically, as indented JSON. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", private)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write `array` to `path` atomically, as .npy.

    `numpy.save` hands the bytes to C, where a full disk loses its error number; a plain write keeps it.
    """
    whole = np.ascontiguousarray(array)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
        file.write(whole.data)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of an .npz.

    Raises:
        ValueError: It is damaged, no .npz, or holds pickled objects.
        OSError: It is missing or cannot be read.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (BadZipFile, zlib.error, EOFError, TypeError, AttributeError) as error:
        raise ValueError(f"no readable .npz: {error}") from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself; Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
