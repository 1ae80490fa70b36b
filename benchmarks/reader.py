"""How fast faces come from the packed store, and what a large store costs to open.

a. Faces per second of shuffled uint8 batches from the store, against torchvision's ImageFolder and a DataLoader with
   two workers on the same PNGs: medians of alternating runs.
e. Time to open a store and private memory after reading from it, for ten thousand and for a million faces; the pixels
   are a sparse file, the names and people are real.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import PILToTensor

from dataset.photographs.layout import HR_FOLDER, split_folder
from dataset.store import FACES, INDEX, SIZE_PX, FaceStore, index_bytes, write_header
from dataset.synthesize import SynthesizeConfig, synthesize

_BATCH = 64
_PAIRS = 5
_COUNTS = (10_000, 1_000_000)
_PHOTOS = 10


def main() -> None:
    """Print both figures."""
    with tempfile.TemporaryDirectory() as folder:
        _speed(Path(folder))
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


def _read_loader(loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> int:
    return sum(len(faces) for faces, _ in loader)


def _growth(folder: Path) -> None:
    rows = []
    for count in _COUNTS:
        _sparse_store(folder / str(count), count)
        command = [sys.executable, "-m", "benchmarks.reader", str(folder / str(count))]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for count, row in zip(_COUNTS, rows, strict=True):
        print(f"e. {count:>9,} faces: opened in {row['seconds']:.3f} s, {row['mebibytes']:.1f} MiB private memory")
    growth = rows[-1]["mebibytes"] - rows[0]["mebibytes"]
    print(f"e. growth from {_COUNTS[0]:,} to {_COUNTS[-1]:,} faces: {growth:.1f} MiB (start-up goal: under 2 s)")


def _sparse_store(folder: Path, count: int) -> None:
    """Write a store of black faces without their bytes; the file system gives zeros for what was never written."""
    folder.mkdir()
    with (folder / FACES).open("wb") as file:
        file.truncate(count * SIZE_PX * SIZE_PX * 3)
    people = [f"person_{number:06d}" for number in range(count // _PHOTOS)]
    images = [f"{person}/{person}_{photo:04d}.png" for person in people for photo in range(1, _PHOTOS + 1)]
    person = np.repeat(np.arange(len(people)), _PHOTOS)
    (folder / INDEX).write_bytes(index_bytes(person, images, people))
    write_header(folder, count, len(people), {FACES: "", INDEX: ""})


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
