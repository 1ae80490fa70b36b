"""Fine-tunings made to destroy the recogniser: each must be stopped by a gate, with exit code 3 and a reason.

python -m benchmarks.collapse dataset --edgeface edgeface_xxs.pt

Prints a row a run: what was done to it, exit code, message, and whether weights were written.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from engine.cli import command

SHORT = "--dsr none --epochs 3 --epoch-batches 40 --warmup 10 --ema 0.9 --validation-faces 300 --jitter 0 --blend 0"
FREED = "--distill 0 --relational 0"
RUNS = {
    "a huge rate": ("true", "--rate 0.05"),
    "no distillation, only a margin": ("true", f"{FREED} --margin 1 --rate 2e-3"),
    "wrong labels": ("shuffled", f"{FREED} --contrastive 1 --margin 1 --rate 2e-3"),
    "batches of one person": ("one person", f"{FREED} --contrastive 1 --margin 1 --rate 2e-3"),
    "none of these": ("true", ""),
}


@dataclass(frozen=True)
class CollapseConfig:
    """Run each way to ruin a recogniser, and one run that is in order."""

    dataset: Annotated[Path, typer.Argument(help="Folder with train_processed and val_processed.")] = Path("dataset")
    edgeface: Annotated[str, typer.Option(help="EdgeFace weights.")] = "edgeface_xxs.pt"


def collapse(config: CollapseConfig) -> None:
    """Run all and print the table."""
    store = FaceStore.open(split_folder(config.dataset, "train"))
    print("| run | exit code | message | weights written |\n| --- | --- | --- | --- |")
    with TemporaryDirectory() as scratch:
        for kind in ("true", "shuffled", "one person"):
            root = Path(scratch) / kind
            root.mkdir()
            split_folder(root, "val").symlink_to(split_folder(config.dataset, "val").absolute())
            if kind == "true":
                split_folder(root, "train").symlink_to(store.path.absolute())
            else:
                _relabelled(store, kind, split_folder(root, "train"))
        for number, (name, (kind, flags)) in enumerate(RUNS.items()):
            out = Path(scratch) / f"run_{number}"
            places = ["--dataset", str(Path(scratch) / kind), "--out", str(out), "--edgeface", config.edgeface]
            command_line = [sys.executable, "-m", "facial_rec.finetune_edgeface", *places, *SHORT.split()]
            ended = subprocess.run([*command_line, *flags.split()], capture_output=True, text=True, check=False)
            said = [line for line in ended.stderr.splitlines() if line.startswith("error")]
            message = said[-1].removeprefix("error: ").replace(f"{out}: ", "") if said else "-"
            written = "yes" if (out / "edgeface_finetuned.pth").exists() else "no"
            print(f"| {name}: `{flags}` | {ended.returncode} | {message} | {written} |", flush=True)


def _relabelled(store: FaceStore, kind: str, path: Path) -> None:
    people = [store.people[number] for number in store.person]
    rows = np.arange(len(store))
    if kind == "shuffled":
        people = [people[row] for row in np.random.default_rng(0).permutation(rows)]
    else:
        rows = np.flatnonzero(store.person == np.bincount(store.person).argmax())

    def faces() -> Iterator[NDArray[np.uint8]]:
        for row in rows:
            yield store.faces[row]

    FaceStore.build(path, faces(), [store.images[int(row)] for row in rows], [people[row] for row in rows])


main = command(CollapseConfig, collapse, example="python -m benchmarks.collapse dataset --edgeface edgeface_xxs.pt")

if __name__ == "__main__":
    main()
