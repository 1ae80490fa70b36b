"""How fast faces come from the packed store, and what a large store costs to open.

a. Faces per second of shuffled uint8 batches from the store, against torchvision's ImageFolder and a DataLoader with
   two workers on the same PNGs: medians of alternating runs.
b. The same in processor seconds, without workers, so for each core: from pixels, from images (JPEG of quality 95), from
   a RecordIO file that holds them, against the usual loops over the same images: ImageFolder, and a Dataset that seeks
   each record of the file by its index; both with Pillow, behind a DataLoader.
e. Time to open a store and private memory after reading from it, for ten thousand to five million faces; the pixels
   are a sparse file, the images are those of a thousand records again and again; the names and people are real.
"""

import io
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import PILToTensor

from dataset.formats.recordio_writer import write_recordio
from dataset.photographs.image_files import encode_image
from dataset.photographs.layout import HR_FOLDER, split_folder
from dataset.prepare import prepare
from dataset.prepare_config import PrepareConfig
from dataset.store import FaceStore
from dataset.store_files import FACES, HEADER, INDEX, OFFSETS, SIZE_PX, Kind, index_bytes, write_header
from dataset.synthesize import SynthesizeConfig, synthesize

_BATCH = 64
_PAIRS = 5
_COUNTS = (10_000, 1_000_000, 5_000_000)
_QUALITY = 95
_PHOTOS = 10


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        _speed(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _speed_a_core(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _growth(Path(folder))


def _speed(folder: Path) -> None:
    synthesize(SynthesizeConfig(out=folder, people=100, photos=_PHOTOS, split="96,2,2", vlr_sizes="none"))
    split = split_folder(folder, "train")
    store = FaceStore.open(split)
    images = ImageFolder(str(split / HR_FOLDER), PILToTensor())
    loader = DataLoader(images, _BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    ways: dict[str, Callable[[], int]] = {"store": lambda: _read_store(store), "loader": lambda: _read_loader(loader)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for read in ways.values():  # workers start and the disk's cache fills outside the measurement
        read()
    for _ in range(_PAIRS):
        for name, read in ways.items():
            start = time.perf_counter()
            count = read()
            rates[name].append(count / (time.perf_counter() - start))
    ratio = median(fast / slow for fast, slow in zip(rates["store"], rates["loader"], strict=True))
    print(
        f"a. reader: store {median(rates['store']):,.0f} faces/s, ImageFolder + DataLoader (2 workers) "
        f"{median(rates['loader']):,.0f} faces/s, median ratio {ratio:.1f}x (goal 20x)"
    )


def _read_store(store: FaceStore) -> int:
    order, count = np.random.default_rng().permutation(len(store)), 0
    for start in range(0, len(order), _BATCH):
        count += len(store.batch(order[start : start + _BATCH]))
    return count


def _read_loader(loader: DataLoader[Any]) -> int:
    return sum(len(faces) for faces, _ in loader)


class RecordFaces(Dataset[tuple[torch.Tensor, int]]):
    """The usual reader of RecordIO: an index in memory, a seek and a picture an item."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        entries = [line.split("\t") for line in path.with_suffix(".idx").read_text(encoding="ascii").splitlines()]
        self._offsets = [int(offset) for _, offset in entries]
        self._offsets = [offset for offset in self._offsets if self._content(offset)[1]]

    def _content(self, offset: int) -> tuple[float, bytes]:
        self._file.seek(offset)
        _, size = struct.unpack("<II", self._file.read(8))
        content = self._file.read(size & (2**29 - 1))
        flag, label, _, _ = struct.unpack_from("<IfQQ", content)
        return label, content[24 + 4 * flag :]

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        label, data = self._content(self._offsets[row])
        face = Image.open(io.BytesIO(data)).convert("RGB")
        return torch.from_numpy(np.array(face)).permute(2, 0, 1).contiguous(), int(label)


def _speed_a_core(folder: Path) -> None:
    split, stores = _one_set(folder)
    names = list(stores["source"].images)
    for name, face in zip(names, stores["raw"].faces[:], strict=True):
        (split / name).parent.mkdir(parents=True, exist_ok=True)
        (split / name).with_suffix(".jpg").write_bytes(encode_image(face, _QUALITY))
    loaders = {
        "ImageFolder + DataLoader": DataLoader(ImageFolder(str(split), PILToTensor()), _BATCH, shuffle=True),
        "records by index + DataLoader": DataLoader(RecordFaces(folder / "set.rec"), _BATCH, shuffle=True),
    }
    ways: dict[str, Callable[[], int]] = {kind: partial(_read_store, store) for kind, store in stores.items()}
    ways |= {name: partial(_read_loader, loader) for name, loader in loaders.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_PAIRS):
        for name, read in ways.items():
            start = time.process_time()
            count = read()
            rates[name].append(count / (time.process_time() - start))
    for name, found in rates.items():
        ratio = median(one / other for one, other in zip(found, rates["records by index + DataLoader"], strict=True))
        print(f"b. {name}: {median(found):,.0f} faces/s a core, {ratio:.2f}x records by index")


def _one_set(folder: Path) -> tuple[Path, dict[Kind, FaceStore]]:
    """Write a `.rec` and prepare it in each way; return a folder for pictures, and the stores of its training faces."""
    synthesize(SynthesizeConfig(out=folder / "drawn", people=100, photos=_PHOTOS, split="96,2,2", vlr_sizes="none"))
    drawn = FaceStore.open(split_folder(folder / "drawn", "train"))
    images = (
        (name, drawn.people[person], encode_image(face, _QUALITY))
        for name, person, face in sorted(zip(drawn.images, drawn.person, drawn.faces[:], strict=True), key=_by_person)
    )
    write_recordio(folder / "set.rec", list(drawn.people), images, SIZE_PX)
    stores = {}
    for kind in get_args(Kind):
        prepare(PrepareConfig(folder / "set.rec", folder / kind, split="1,0,0", vlr_sizes="none", store=kind))
        stores[kind] = FaceStore.open(split_folder(folder / kind, "train"))
    return folder / "pictures", stores


def _by_person(named: tuple[str, int, object]) -> int:
    return int(named[1])


def _growth(folder: Path) -> None:
    _, stores = _one_set(folder)
    for kind, make in (("raw", _sparse_store), ("source", partial(_repeated_store, stores["source"]))):
        rows = []
        for count in _COUNTS:
            make(folder / f"{kind}{count}", count)
            command = [sys.executable, "-m", "benchmarks.reader", str(folder / f"{kind}{count}")]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        for count, row in zip(_COUNTS, rows, strict=True):
            figures = f"opened in {row['seconds']:.3f} s, {row['mebibytes']:.1f} MiB private memory"
            print(f"e. {kind}, {count:>9,} faces: {figures}")
        growth = rows[-1]["mebibytes"] - rows[0]["mebibytes"]
        print(f"e. {kind}, growth from {_COUNTS[0]:,} to {_COUNTS[-1]:,}: {growth:.1f} MiB (start-up goal: under 2 s)")


def _repeated_store(store: FaceStore, folder: Path, count: int) -> None:
    """Write a store of the records of another, again and again."""
    folder.mkdir()
    offsets = np.fromfile(store.path / OFFSETS, np.int64)
    np.resize(offsets, count).tofile(folder / OFFSETS)
    people = _write_index(folder, count)
    source = json.loads((store.path / HEADER).read_text(encoding="utf-8"))["source"]
    write_header(folder, count, people, {OFFSETS: "", INDEX: ""}, kind="source", source=source)


def _sparse_store(folder: Path, count: int) -> None:
    """Write a store of black faces without their bytes; the file system gives zeros for what was never written."""
    folder.mkdir()
    with (folder / FACES).open("wb") as file:
        file.truncate(count * SIZE_PX * SIZE_PX * 3)
    write_header(folder, count, _write_index(folder, count), {FACES: "", INDEX: ""})


def _write_index(folder: Path, count: int) -> int:
    """Write the names of this many faces; return how many people they show."""
    people = [f"person_{number:06d}" for number in range(count // _PHOTOS)]
    images = [f"{person}/{person}_{photo:04d}.png" for person in people for photo in range(1, _PHOTOS + 1)]
    person = np.repeat(np.arange(len(people)), _PHOTOS)
    (folder / INDEX).write_bytes(index_bytes(person, images, people))
    return len(people)


def _measure(folder: Path) -> None:
    """Print what opening a store and reading a hundred random batches costs a fresh process."""
    before = _private_mebibytes()
    start = time.perf_counter()
    store = FaceStore.open(folder)
    seconds = time.perf_counter() - start
    rows = np.random.default_rng(0)
    for _ in range(100):
        store.batch(rows.integers(0, len(store), _BATCH))
    print(json.dumps({"seconds": seconds, "mebibytes": _private_mebibytes() - before}))


def _private_mebibytes() -> float:
    """Return this process's own memory; pages of mapped files belong to the system's cache. Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _measure(Path(sys.argv[1]))
    else:
        main()
