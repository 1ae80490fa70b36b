"""Prepared data sets, written beside their place and moved there when whole.

`prepare.json` is written last and says what the splits were made of. A run that fails puts the earlier splits back; a
killed one leaves a hidden folder, from which the next run does so, and never a split that looks whole and is not, nor
splits of two different runs side by side.
"""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from PIL import Image

from dataset.photographs.layout import HR_FOLDER, INDEX, SPLITS, VLR_FOLDER, split_folder
from dataset.store import FaceStore
from dataset.store_files import StoreError
from dataset.store_writer import StoreWriter
from dataset.views.degrade import shrink
from dataset.views.resize import FACE_PX
from engine.errors import UserError
from engine.files import write_json
from engine.text import read_json
from engine.threads import one_thread

RECORD = "prepare.json"
_STAGING = ".staging-"
_LEAVING, _LEFT = "leaving", "left"
"""Where earlier splits are while new ones come: the second name once all of them are there."""
_BATCH = 64


class AssemblyError(UserError):
    """A folder that holds something else, or that another process writes to."""


def refuse_file(out: Path) -> None:
    """Raise `AssemblyError` where a file stands in the way of the folder of the splits."""
    for path in (out, *out.parents):
        if path.is_file():
            raise AssemblyError(f"{path}: a file, where the folder of the splits is expected; choose another --out")


def is_prepared(out: Path, made_of: dict[str, Any], overwrite: bool) -> bool:
    """Tell whether `out` already holds splits made of the same; a store that cannot be opened is none.

    Args:
        out: Folder of the splits.
        made_of: Settings and hashes of the inputs, JSON values.
        overwrite: Other splits may be replaced.

    Raises:
        AssemblyError: It holds splits made of something else, or by somebody else.
    """
    if any(out.glob(f"{_STAGING}*")):
        with _locked(out):
            _clear(out)
    path = out / RECORD
    present = [split for split in SPLITS if split_folder(out, split).exists()]
    if not path.is_file():
        if present and not overwrite:
            raise AssemblyError(
                f"{split_folder(out, present[0])}: stands there without a {RECORD} that says how it was made; choose "
                "another --out, or pass --overwrite to replace it"
            )
        return False
    earlier = _read_record(path)
    if earlier.get("made_of") == made_of and present == earlier.get("present"):
        return all(_has_store(split_folder(out, split)) for split in present)
    if not overwrite:
        changed = _difference(earlier.get("made_of"), made_of) or "a split is missing"
        raise AssemblyError(
            f"{out}: holds splits made differently ({changed}); choose another --out, or pass --overwrite"
        )
    return False


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside the splits' places, removed afterwards; one process at a time.

    Raises:
        AssemblyError: Another process is preparing `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        _clear(out)
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=out))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            _clear(out)


def publish(
    folder: Path, out: Path, made_of: dict[str, Any], summary: dict[str, Any], files: Sequence[str] = ()
) -> None:
    """Move the splits of a staging folder, and these files, to their places and write the record.

    Where that fails, the end of `staging` puts back what was there.
    """
    present = [split for split in SPLITS if split_folder(folder, split).is_dir()]
    (folder / _LEAVING).mkdir()
    for name in (RECORD, *_split_names(), *files):  # all leave before the first comes: people must not meet themselves
        if (out / name).exists():
            (out / name).rename(folder / _LEAVING / name)
    (folder / _LEAVING).rename(folder / _LEFT)
    for name in (*(split_folder(folder, split).name for split in present), *files):
        (folder / name).rename(out / name)
    write_json(out / RECORD, {"made_of": made_of, "present": present, **summary})


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    lock = FileLock(out / ".prepare.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise AssemblyError(f"{out}: another process is preparing it; wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def _clear(out: Path) -> None:
    """Remove staging folders; without a record the publication did not end, and what was there is put back first."""
    for folder in out.glob(f"{_STAGING}*"):
        if not (out / RECORD).exists():
            _put_back(folder, out)
        shutil.rmtree(folder, ignore_errors=True)


def _put_back(folder: Path, out: Path) -> None:
    leaving, left = folder / _LEAVING, folder / _LEFT
    if left.is_dir():  # what stands in the splits' places is new
        for name in {*_split_names(), *(path.name for path in left.iterdir())}:
            if (out / name).exists():
                (out / name).rename(folder / name)
        left.rename(leaving)
    if leaving.is_dir():
        for path in sorted(leaving.iterdir(), key=lambda path: path.name == RECORD):
            path.rename(out / path.name)


def _split_names() -> list[str]:
    return [split_folder(Path(), split).name for split in SPLITS]


def _has_store(folder: Path) -> bool:
    try:
        return len(FaceStore.open(folder)) > 0
    except StoreError:
        return False


def parse_sizes(text: str) -> list[int]:
    """Read sizes of low-resolution copies, such as "8,12,16", or "none".

    Raises:
        AssemblyError: Not whole numbers of 1 to 111.
    """
    words = [] if text.strip() == "none" else text.replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) < FACE_PX for word in words):
        raise AssemblyError(f"--vlr-sizes {text}: expected sizes of 1 to 111 pixels, e.g. 8,16,32, or none")
    return sorted({int(word) for word in words})


class SplitWriter:
    """Writes one split: HR faces, low-resolution copies, index and store; a context manager.

    Args:
        folder: The split's folder, new.
        sizes_px: Sizes of the low-resolution copies.
        attributes: Names of further index columns.
        store: Receives the faces, in that folder; None: their pixels. Of others than pixels no pictures are written.
    """

    def __init__(
        self, folder: Path, sizes_px: list[int], attributes: list[str], store: StoreWriter | None = None
    ) -> None:
        self._folder, self._sizes_px = folder, sizes_px
        self._columns = ["image", "person", "source", *attributes]
        self._store = store or StoreWriter(folder)
        self._waiting: list[tuple[str, NDArray[np.uint8]]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._store)
            index = stack.enter_context((self._folder / INDEX).open("w", encoding="utf-8", newline=""))
            self._rows = csv.DictWriter(index, self._columns, restval="", lineterminator="\n")
            self._rows.writeheader()
            workers = min(4, os.cpu_count() or 1)  # zlib compresses outside Python's lock
            self._pool = stack.enter_context(ThreadPoolExecutor(workers))
            self._open = stack.pop_all()
        return self

    def add(
        self,
        face: NDArray[np.uint8],
        image: str,
        person: str,
        source: str,
        attributes: dict[str, str] | None = None,
        data: bytes = b"",
        place: Any = None,
    ) -> None:
        """Add a (112, 112, 3) uint8 RGB face under its path below `hr_images`; the others as for `StoreWriter.add`."""
        self._store.add(face, image, person, data, place)
        self._rows.writerow({"image": image, "person": person, "source": source, **(attributes or {})})
        if self._store.kind == "raw":
            self._waiting.append((image, face))
        if len(self._waiting) == _BATCH:
            self._write_images()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if error is not None:
                raise error
            if self._waiting:
                self._write_images()

    def _write_images(self) -> None:
        images = [image for image, _ in self._waiting]
        faces = np.stack([face for _, face in self._waiting])
        self._save_all(HR_FOLDER, images, faces)
        pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255
        for size in self._sizes_px:
            with one_thread():
                small = shrink(pixels, size).mul(255).round().byte().permute(0, 2, 3, 1)
            self._save_all(f"{VLR_FOLDER}/{size}px", images, small.numpy())
        self._waiting.clear()

    def _save_all(self, place: str, images: list[str], pixels: NDArray[np.uint8]) -> None:
        paths = [self._folder / place / image for image in images]
        for folder in {path.parent for path in paths}:
            folder.mkdir(parents=True, exist_ok=True)
        list(self._pool.map(_save, paths, pixels))


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a PNG in a staging folder, where nobody reads half of it."""
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path)
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {}


def _difference(earlier: Any, now: dict[str, Any]) -> str:
    if not isinstance(earlier, dict):
        return f"{RECORD} is damaged"
    for key in dict.fromkeys([*now, *earlier]):
        if earlier.get(key) != now.get(key):
            values = [json.dumps(value, ensure_ascii=False) for value in (earlier.get(key), now.get(key))]
            return f"{key}: {values[0][:40]} there, {values[1][:40]} now"
    return ""
