"""Zip archives, in which torch keeps checkpoints and programs, checked before torch reads them.

torch's own reader skips the checksums and trusts the sizes that a checkpoint states.
"""

import zipfile
import zlib
from pathlib import Path

from facial_rec.loading.refusals import DamagedError, NotWeightsError

_CHUNK_BYTES = 1 << 18
_MOST_ENTRIES = 20_000
# Only the program text of TorchScript is compressed.
_MOST_CODE_BYTES = 32 * 2**20


def check_archive(path: Path) -> list[str]:
    """Check that a zip archive is whole and can be read without allocating more than its size.

    Returns:
        The names of its entries.

    Raises:
        DamagedError: The archive is cut short, its checksums are wrong, or an entry claims more than the file holds.
        NotWeightsError: Tensors are compressed, which torch never does.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            check_entries(path, entries)
            check_checksums(path, archive, entries)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise DamagedError(f"{path}: a damaged zip archive ({_one_line(error)}); download it again") from None
    return [entry.filename for entry in entries]


def check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse archives that would unpack to more than they weigh, or that two readers could read differently."""
    size = path.stat().st_size
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    foreign = next((entry.filename for entry in packed if "/code/" not in entry.filename), None)
    if foreign is not None:
        raise NotWeightsError(f"{path}: a compressed zip archive ({foreign}), which torch never makes; unpack it first")
    stored_bytes = sum(entry.file_size for entry in entries) - sum(entry.file_size for entry in packed)
    unpacked_bytes = sum(entry.file_size for entry in packed)
    if len(entries) > _MOST_ENTRIES or stored_bytes > size or unpacked_bytes > _MOST_CODE_BYTES:
        raise DamagedError(f"{path}: claims more content than its {size} bytes hold; refused, download it again")
    if len({entry.filename for entry in entries}) != len(entries):
        raise DamagedError(f"{path}: a zip archive with two entries of one name; download it again")


def check_checksums(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Compare every entry with its CRC-32 (`zipfile` raises where they differ)."""
    for entry in entries:
        with archive.open(entry) as file:
            while file.read(_CHUNK_BYTES):
                pass


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:120]
