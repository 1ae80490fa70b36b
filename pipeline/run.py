"""The whole chain in one command: faces, super-resolver, fine-tuning, evaluation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import command
from engine.errors import UserError
from facial_rec.weights import find_weights
from pipeline.steps import Step, run_steps

SCRATCH = "scratch"


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
        str, typer.Option(help="EdgeFace weights; 'scratch' trains an EdgeFace-XXS on the prepared faces first.")
    ] = "edgeface_xxs.pt"
    dataset: Annotated[Path, typer.Option(help="Folder of the prepared splits.")] = Path("dataset")
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs")
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    threshold: Annotated[str, typer.Option(help="Threshold of the evaluation: a number, eer, far=1e-3 or @FILE.")] = (
        "0.35"
    )
    cycles: Annotated[
        int,
        typer.Option(
            min=1, help="Rounds: the super-resolver against the last tuned EdgeFace, the original tuned behind it."
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
    steps = [_faces(config)]
    if config.edgeface == SCRATCH:
        edgeface = config.runs / "scratch" / "edgeface.pth"
        steps.append(_scratch(config, edgeface))
    else:
        edgeface = find_weights(config.edgeface)
    tuned, dsr = edgeface, None
    for cycle in range(1, config.cycles + 1):
        suffix = "" if cycle == 1 else f"_{cycle}"
        folder = config.runs / f"dsr{suffix}"
        steps.append(_super_resolver(config, folder, tuned, dsr))
        dsr = folder / "best.pth"
        folder = config.runs / f"edgeface{suffix}"
        steps.append(_fine_tuning(config, folder, edgeface, dsr))
        tuned = folder / "edgeface_finetuned.pth"
    steps.append(_evaluation(config, edgeface, tuned, dsr))
    run_steps(steps, config.force)
    print(f"pictures: {config.runs / 'dsr' / 'samples'} (seen, bicubic, restored, original); report: {_report(config)}")
    if config.photos is None:
        print("These are synthetic faces: the figures show that the chain works, and say nothing about real people.")


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
    out = ["--out", str(config.dataset)]
    if config.photos is None:
        size = ["--people", str(config.people), "--photos", str(config.photos_each), "--split", config.split]
        return Step("synthetic faces", ["dataset", "synthesize", *size, *out], [], config.dataset)
    arguments = ["dataset", "prepare", str(config.photos), *out, *options]
    return Step("prepared faces", arguments, [config.photos, *files], config.dataset)


def _stores(config: RunConfig) -> list[Path]:
    return [config.dataset / f"{split}_processed" / "faces.json" for split in ("train", "val")]


def _scratch(config: RunConfig, edgeface: Path) -> Step:
    options, files = _options(config.scratch_config)
    places = ["--dataset", str(config.dataset), "--out", str(edgeface.parent), "--device", config.device]
    arguments = ["facial_rec.train_edgeface", *places, *options]
    return Step("EdgeFace from scratch", arguments, [*_stores(config), *files], edgeface)


def _super_resolver(config: RunConfig, folder: Path, edgeface: Path, init: Path | None) -> Step:
    options, files = _options(config.dsr_config)
    places = ["--dataset", str(config.dataset), "--out", str(folder), "--device", config.device]
    start = ["--init", str(init)] if init else []
    arguments = ["dsr.train_dsr", "--edgeface", str(edgeface), *places, *start, *options]
    return Step("super-resolver", arguments, [*_stores(config), edgeface, *files], folder / "best.pth")


def _fine_tuning(config: RunConfig, folder: Path, original: Path, dsr: Path) -> Step:
    options, files = _options(config.finetune_config)
    places = ["--dataset", str(config.dataset), "--out", str(folder), "--device", config.device, "--dsr", str(dsr)]
    arguments = ["facial_rec.finetune_edgeface", "--edgeface", str(original), *places, *options]
    inputs = [*_stores(config), original, dsr, *files]
    return Step("fine-tuned EdgeFace", arguments, inputs, folder / "edgeface_finetuned.pth")


def _evaluation(config: RunConfig, edgeface: Path, tuned: Path, dsr: Path | None) -> Step:
    options, files = _options(config.evaluate_config)
    root, out = config.dataset / "test_processed", config.runs / "evaluation"
    systems = ["--edgeface", str(edgeface), "--dsr", str(dsr), "--finetuned", str(tuned)]
    places = ["--dataset-root", str(root), "--out", str(out), "--device", config.device]
    arguments = ["pipeline.evaluate_dataset", *places, *systems, "--threshold", config.threshold, *options]
    inputs = [root / "faces.json", edgeface, tuned, *([dsr] if dsr else []), *files]
    return Step("evaluation", arguments, inputs, out / "report.json", replaces=True)


main = command(RunConfig, run, example="python -m pipeline run photos --edgeface edgeface_xxs.pt --device cuda")

if __name__ == "__main__":
    main()
