"""The whole chain in one command: faces, super-resolver, fine-tuning, evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from dataset.photographs.intake import fingerprint
from dataset.photographs.layout import made_here, split_folder
from engine import options
from engine.cli import EXIT_GATE, command
from engine.errors import UserError
from engine.files import write_json
from engine.text import read_json
from facial_rec.finetuning.gates import shown
from facial_rec.loading.sources import AUTO, find_weights, named_weights
from facial_rec.validation import ranking, table_line
from pipeline.evaluation.threshold_target import parse_target
from pipeline.steps import Step, StepError, run_step

SCRATCH = "scratch"
_NEXT = """Next:
  python -m pipeline demo                               try the shipped chain on your own pictures, in the browser
  python -m facial_rec get edgeface_xxs                 the official weights, which know real people
  python -m pipeline run PHOTOS                         the same chain on photographs of yours"""


@dataclass(frozen=True)
class RunConfig:
    """Prepare faces, train the super-resolver, fine-tune EdgeFace, evaluate: each step only where it is needed.

    A step is skipped while its result is there and its inputs are unchanged; an interrupted training continues.
    Without photographs the chain runs on synthetic faces.
    """

    photos: Annotated[Path | None, typer.Argument(help="Photographs, as for `dataset prepare`; none: synthetic.")] = (
        None
    )
    edgeface: Annotated[
        str,
        typer.Option(
            help="EdgeFace weights; auto: EdgeFace-XXS as published if found, else the synthetic one that ships; "
            "scratch: an EdgeFace-XXS trained on the prepared faces first."
        ),
    ] = AUTO
    dataset: Annotated[Path, typer.Option(help="Folder of the prepared splits.")] = Path("dataset")
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs")
    device: options.Device = "auto"
    threshold: Annotated[str, typer.Option(help="Threshold of the evaluation: a number, eer, far=1e-3 or @FILE.")] = (
        "0.35"
    )
    cycles: Annotated[
        int,
        typer.Option(
            min=1,
            help="Most rounds: the super-resolver against the last tuned EdgeFace, the original tuned behind it, as "
            "long as validation improves; the best round is evaluated.",
        ),
    ] = 1
    people: Annotated[int, typer.Option(min=4, help="People, when the faces are synthetic.")] = 200
    photos_each: Annotated[int, typer.Option(min=2, help="Photographs a person, when the faces are synthetic.")] = 12
    split: Annotated[str, typer.Option(help="Shares of train, val and test, when the faces are synthetic.")] = (
        "80,10,10"
    )
    prepare_config: Annotated[Path | None, typer.Option(help="Options of `dataset prepare`, a TOML file.")] = None
    scratch_config: Annotated[Path | None, typer.Option(help="Options of `facial_rec.train_edgeface`.")] = None
    dsr_config: Annotated[Path | None, typer.Option(help="Options of `dsr.train_dsr`.")] = None
    finetune_config: Annotated[Path | None, typer.Option(help="Options of `facial_rec.finetune_edgeface`.")] = None
    evaluate_config: Annotated[Path | None, typer.Option(help="Options of `pipeline.evaluate_dataset`.")] = None
    force: Annotated[bool, typer.Option(help="Run every step, even where nothing has changed.")] = False


def run(config: RunConfig) -> None:
    """Run the chain that `config` describes."""
    if config.photos is not None and not config.photos.exists():
        raise UserError(f"{config.photos}: no such folder or index of photographs; check the path")
    parse_target(config.threshold)  # refused now rather than after the training
    total, numbers = 2 + 2 * config.cycles + (config.edgeface == SCRATCH), count(1)

    def go(step: Step) -> None:
        run_step(step, f"[{next(numbers)}/{total}]", config.force)

    go(_faces(config))
    if config.edgeface == SCRATCH:
        edgeface = config.runs / "scratch" / "edgeface.pth"
        go(_scratch(config, edgeface))
    else:
        edgeface = find_weights(named_weights(config.edgeface))
    best = _best_cycle(config, edgeface, go)
    go(_evaluation(config, edgeface, best.tuned, best.dsr))
    print(f"pictures: {best.dsr.parent / 'samples'} (seen, bicubic, restored, original); report: {_report(config)}")
    if config.cycles > 1:
        print(f"best cycle: {best.number}; other commands take it by --dsr {best.dsr} and the weights {best.tuned}")
    if config.photos is None:
        print("These are synthetic faces: the figures show that the chain works, and say nothing about real people.")
        print(_NEXT)


@dataclass(frozen=True)
class _Cycle:
    """A super-resolver and the EdgeFace that was tuned behind it."""

    number: int
    dsr: Path
    tuned: Path

    @classmethod
    def of(cls, runs: Path, number: int) -> Self:
        suffix = "" if number == 1 else f"_{number}"
        return cls(number, runs / f"dsr{suffix}" / "best.pth", runs / f"edgeface{suffix}" / "edgeface_finetuned.pth")

    def validation(self) -> dict[str, Any]:
        """Return the figures by size of the tuned weights on the validation people."""
        summary = read_json(self.tuned.parent / "summary.json")
        return shown(summary["after"])


def _best_cycle(config: RunConfig, edgeface: Path, go: Callable[[Step], None]) -> _Cycle:
    """Run cycles as long as validation improves, keep the table of each, return the best."""
    best, tables = _Cycle.of(config.runs, 1), []
    for number in range(1, config.cycles + 1):
        cycle, first = _Cycle.of(config.runs, number), number == 1
        go(_super_resolver(config, cycle, edgeface if first else best.tuned, None if first else best.dsr))
        try:
            go(_fine_tuning(config, cycle, edgeface))
        except StepError as error:
            if first or error.code != EXIT_GATE:
                raise
            break  # the cycle before it holds every gate
        figures = cycle.validation()
        tables.append({"cycle": number, "mean_tar": ranking(figures), "validation": figures})
        write_json(config.runs / "cycles.json", tables)
        if config.cycles > 1:
            print(f"cycle {number}, validation: TAR at FAR 1 % by size  {table_line(figures)}", flush=True)
        if not first and ranking(figures) <= ranking(best.validation()):
            break
        best = cycle
    return best


def _report(config: RunConfig) -> Path:
    return config.runs / "evaluation" / "report.html"


def _options(path: Path | None) -> tuple[list[str], list[Path]]:
    if path is None:
        return [], []
    if not path.is_file():
        raise UserError(f"{path}: no such config file; recipes stand in recipes/")
    return ["--config", str(path)], [path]


def _faces(config: RunConfig) -> Step:
    options, files = _options(config.prepare_config)
    out, split = ["--out", str(config.dataset)], split_folder(config.dataset, "train")
    if config.photos is None:
        size = ["--people", str(config.people), "--photos", str(config.photos_each), "--split", config.split]
        return Step("synthetic faces", ["dataset", "synthesize", *size], [], split, out, continues=False)
    places = [str(config.photos), *out, *options]
    contents = [fingerprint(config.photos, made_here(config.dataset))]
    return Step("prepared faces", ["dataset", "prepare"], files, split, places, contents, continues=False)


def _stores(config: RunConfig) -> list[Path]:
    return [config.dataset / f"{split}_processed" / "faces.json" for split in ("train", "val")]


def _device(config: RunConfig) -> list[str]:
    return ["--device", config.device]


def _scratch(config: RunConfig, edgeface: Path) -> Step:
    options, files = _options(config.scratch_config)
    free = ["--dataset", str(config.dataset), "--out", str(edgeface.parent), *options, *_device(config)]
    return Step("EdgeFace from scratch", ["facial_rec.train_edgeface"], [*_stores(config), *files], edgeface, free)


def _super_resolver(config: RunConfig, cycle: _Cycle, edgeface: Path, init: Path | None) -> Step:
    options, files = _options(config.dsr_config)
    places = ["--edgeface", str(edgeface), "--dataset", str(config.dataset), "--out", str(cycle.dsr.parent)]
    start = ["--init", str(init)] if init else []
    inputs = [*_stores(config), edgeface, *([init] if init else []), *files]
    free = [*places, *start, *options, *_device(config)]
    return Step("super-resolver", ["dsr.train_dsr"], inputs, cycle.dsr, free)


def _fine_tuning(config: RunConfig, cycle: _Cycle, original: Path) -> Step:
    options, files = _options(config.finetune_config)
    places = ["--dataset", str(config.dataset), "--out", str(cycle.tuned.parent)]
    inputs = [*_stores(config), original, cycle.dsr, *files]
    free = ["--edgeface", str(original), "--dsr", str(cycle.dsr), *places, *options, *_device(config)]
    return Step("fine-tuned EdgeFace", ["facial_rec.finetune_edgeface"], inputs, cycle.tuned, free)


def _evaluation(config: RunConfig, edgeface: Path, tuned: Path, dsr: Path) -> Step:
    options, files = _options(config.evaluate_config)
    root, out = config.dataset / "test_processed", config.runs / "evaluation"
    systems = ["--edgeface", str(edgeface), "--dsr", str(dsr), "--finetuned", str(tuned)]
    places = ["--dataset-root", str(root), "--out", str(out)]
    threshold, chosen = ["--threshold", config.threshold], parse_target(config.threshold).path
    arguments = ["pipeline.evaluate_dataset", *([] if chosen else threshold)]
    inputs = [root / "faces.json", edgeface, tuned, dsr, *([chosen] if chosen else []), *files]
    free = [*(threshold if chosen else []), *places, *systems, *options, *_device(config)]
    return Step("evaluation", arguments, inputs, out / "report.json", free, replaces=True)


main = command(RunConfig, run, example="python -m pipeline run photos --edgeface edgeface_xxs.pt --device cuda")

if __name__ == "__main__":
    main()
