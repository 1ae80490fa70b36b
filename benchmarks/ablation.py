"""Which part earns its place? Variants of one training at equal processor time, several seeds each.

python -m benchmarks.ablation recipes/ablations/dsr.toml --edgeface edgeface_xxs.pt --seconds 120 --seeds 0,1

Each variant is timed over some batches first, then trains for as many batches as fit the time, once a seed, and is
measured on the validation people. Finished trainings are kept under --out, and not repeated. The recipe names the
command ("dsr" or "finetune"), the options that all variants share, and each variant's own.
"""

import json
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dsr.train_dsr import TrainConfig, train
from engine.cli import command
from engine.errors import UserError
from engine.text import read_text
from facial_rec.finetune_edgeface import finetune
from facial_rec.finetuning.config import FinetuneConfig

SIZES_PX = ("8", "12", "16", "32")
TIMED_BATCHES = 12


@dataclass(frozen=True)
class AblationConfig:
    """Train each variant of a recipe for the same processor time and print a table of what it reached."""

    recipe: Annotated[Path, typer.Argument(help="A file of recipes/ablations.")]
    edgeface: Annotated[str, typer.Option(help="EdgeFace weights.")] = "edgeface_xxs.pt"
    dataset: Annotated[Path, typer.Option(help="Folder with train_processed and val_processed.")] = Path("dataset")
    seconds: Annotated[float, typer.Option(min=1, help="Processor seconds of each training, validation apart.")] = 120
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1"
    variants: Annotated[str, typer.Option(help="Variants to run, joined by commas; none given: all.")] = ""
    out: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/ablation")


class AblationError(UserError):
    """A recipe that is none."""


def ablate(config: AblationConfig) -> None:
    """Run what is missing, then print the table."""
    recipe = tomllib.loads(read_text(config.recipe))
    if recipe.get("command") not in ("dsr", "finetune"):
        raise AblationError(f'{config.recipe}: command must be "dsr" or "finetune"; see recipes/ablations')
    root = config.out / config.recipe.stem
    rows = []
    chosen = config.variants.split(",") if config.variants else list(recipe["variants"])
    for name in chosen:
        if name not in recipe["variants"]:
            raise AblationError(f"--variants {name}: not in {config.recipe}; one of {', '.join(recipe['variants'])}")
        own = recipe["variants"][name]
        options = recipe["shared"] | own
        batches = _batches_in(config, recipe["command"], options, root / name)
        measured = [
            _trained(config, recipe["command"], options | {"seed": int(seed)}, batches, root / name / f"seed_{seed}")
            for seed in config.seeds.split(",")
        ]
        rows.append(_row(name, batches, measured))
        print(rows[-1], flush=True)
    head = ["variant", "batches", *(f"{size} px" for size in SIZES_PX), "identity 16 px"]
    head += ["HR"] if recipe["command"] == "finetune" else ["PSNR 16 px"]
    print("\nTAR at FAR 0.1 %, %, and the mean identity loss; one figure a seed\n")
    print("\n".join([f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows]))


def _config(config: AblationConfig, kind: str, options: dict[str, Any], out: Path) -> TrainConfig | FinetuneConfig:
    places: dict[str, Any] = {"dataset": [config.dataset], "out": out, "epochs": 1, "device": "cpu"}
    if kind == "dsr":
        return replace(TrainConfig(), **{"edgeface": [config.edgeface]} | options | places)
    return replace(FinetuneConfig(), **{"edgeface": config.edgeface} | options | places)


def _run(config: TrainConfig | FinetuneConfig) -> None:
    if isinstance(config, TrainConfig):
        train(config)
    else:
        finetune(config)


def _batches_in(config: AblationConfig, kind: str, options: dict[str, Any], folder: Path) -> int:
    """Return how many batches fit the time, from two short trainings of different length, after one to warm up."""
    kept = folder / f"batches_in_{config.seconds:g}_s.json"
    if kept.is_file():
        return int(json.loads(kept.read_text(encoding="utf-8")))
    spent = []
    for count in (2, 2, 2 + TIMED_BATCHES):
        short = {"epoch_batches": count, "validation_faces": 60, "overwrite": True, "max_hr_drop": 100.0}
        short |= {"max_impostor_mean": 1.0, "min_rank_share": 0.0, "max_overlap": 1.0, "min_uniformity_share": 0.0}
        if kind == "dsr":
            short = {name: short[name] for name in ("epoch_batches", "validation_faces", "overwrite")}
        begin = time.process_time()
        _run(_config(config, kind, options | short, folder / "timing"))
        spent.append(time.process_time() - begin)
    batches = max(1, round(config.seconds * TIMED_BATCHES / (spent[2] - spent[1])))
    kept.write_text(json.dumps(batches), encoding="utf-8")
    return batches


def _trained(
    config: AblationConfig, kind: str, options: dict[str, Any], batches: int, folder: Path
) -> dict[str, dict[str, Any]]:
    """Return the validation figures by size, training only where that is still to be done."""
    _run(_config(config, kind, options | {"epoch_batches": batches}, folder))
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    event = next(event for event in map(json.loads, reversed(lines)) if event["event"] == "validation")
    shown = dict(event.get("dsr") or event["bicubic"])
    return shown | ({"112": event["hr"]} if "hr" in event else {})


def _row(name: str, batches: int, measured: list[dict[str, dict[str, Any]]]) -> str:
    def each(size: str, figure: str, scale: float, digits: int) -> str:
        return " ".join(f"{scale * figures[size][figure]:.{digits}f}" for figures in measured)

    cells = [each(size, "tar@far=1e-3", 100, 1) for size in SIZES_PX] + [each("16", "identity", 1, 3)]
    last = each("112", "tar@far=1e-3", 100, 1) if "112" in measured[0] else each("16", "psnr", 1, 2)
    return f"| {' | '.join([name, str(batches), *cells, last])} |"


main = command(AblationConfig, ablate, example="python -m benchmarks.ablation recipes/ablations/dsr.toml")

if __name__ == "__main__":
    main()
