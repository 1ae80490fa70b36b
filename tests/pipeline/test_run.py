import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.cli import EXIT_GATE
from engine.errors import UserError
from pipeline import run as module
from pipeline.run import RunConfig, run
from pipeline.steps import Step, StepError
from pipeline.steps import _state as state_of


@dataclass
class Chain:
    """Stands in for the commands: each fine-tuning leaves the next of these rates, or ends with an exit code."""

    rates: list[float | int]
    commands: list[list[str]] = field(default_factory=list)

    def run_step(self, step: Step, position: str, force: bool) -> None:
        self.commands.append([*step.arguments, *step.free])
        if step.arguments[0] != "facial_rec.finetune_edgeface":
            return
        rate = self.rates.pop(0)
        if isinstance(rate, int):
            raise StepError(step, rate)
        figures = {"8": {"tar@far=1e-2": rate, "tar@far=1e-3": rate, "accuracy": 0.5}}
        step.output.parent.mkdir(parents=True, exist_ok=True)
        (step.output.parent / "summary.json").write_text(json.dumps({"after": {"dsr": figures, "bicubic": {}}}))


@pytest.mark.parametrize(
    ("rates", "tunings", "best"),
    [([0.1, 0.2, 0.3], 3, "_3"), ([0.2, 0.3, 0.1], 3, "_2"), ([0.3, 0.2, 0.4], 2, ""), ([0.3, EXIT_GATE, 0.4], 2, "")],
)
def test_cycles_go_on_as_long_as_validation_improves_and_the_best_is_evaluated(
    rates: list[float | int], tunings: int, best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, runs = Chain(list(rates)), tmp_path / "runs"
    monkeypatch.setattr(module, "run_step", chain.run_step)
    for name in ("edgeface.pt", "face.png"):
        (tmp_path / name).touch()
    run(RunConfig(tmp_path, str(tmp_path / "edgeface.pt"), runs=runs, cycles=3))
    assert [command[0] for command in chain.commands].count("facial_rec.finetune_edgeface") == tunings
    evaluation = chain.commands[-1]
    assert evaluation[evaluation.index("--dsr") + 1] == str(runs / f"dsr{best}" / "best.pth")
    assert evaluation[evaluation.index("--finetuned") + 1] == str(runs / f"edgeface{best}" / "edgeface_finetuned.pth")
    tables = json.loads((runs / "cycles.json").read_text())
    assert [table["mean_tar"] for table in tables] == [rate for rate in rates[:tunings] if isinstance(rate, float)]


def test_the_evaluation_depends_on_the_threshold_file_and_no_step_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Step] = []
    chain = Chain([0.1])
    monkeypatch.setattr(module, "run_step", lambda step, *more: (steps.append(step), chain.run_step(step, *more)))
    for name in ("edgeface.pt", "face.png"):
        (tmp_path / name).touch()
    threshold = f"@{tmp_path / 't.json'}"
    run(RunConfig(tmp_path, str(tmp_path / "edgeface.pt"), runs=tmp_path / "runs", device="cuda", threshold=threshold))
    assert tmp_path / "t.json" in steps[-1].inputs
    assert all("--device" not in step.arguments for step in steps)
    assert all(step.free[-2:] == ["--device", "cuda"] for step in steps[1:])


def test_a_step_is_the_same_wherever_its_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    (here / "photos").mkdir(parents=True)
    for name in ("photos/a.png", "edgeface.pt", "recipe.toml"):
        (here / name).touch()
    shutil.copytree(here, tmp_path / "there")

    def states(folder: Path) -> list[dict[str, Any]]:
        steps: list[Step] = []
        chain = Chain([0.1])
        monkeypatch.setattr(module, "run_step", lambda step, *more: (steps.append(step), chain.run_step(step, *more)))
        recipe = folder / "recipe.toml"
        places = {"dataset": folder / "dataset", "runs": folder / "runs", "threshold": f"@{recipe}"}
        recipes = dict.fromkeys(("prepare_config", "dsr_config", "finetune_config", "evaluate_config"), recipe)
        run(RunConfig(folder / "photos", str(folder / "edgeface.pt"), **places, **recipes))
        return [state_of(step) for step in steps]

    before = states(here)
    assert states(tmp_path / "there") == before and len(before) == 4
    (tmp_path / "there" / "recipe.toml").write_text("epochs = 3")
    assert not any(one == other for one, other in zip(states(tmp_path / "there"), before, strict=True))


def test_a_wrong_threshold_is_refused_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--threshold 3"):
        run(RunConfig(tmp_path, threshold="3"))


def test_missing_photographs_are_named_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        run(RunConfig(tmp_path / "nowhere"))


def test_a_first_cycle_that_breaks_a_gate_ends_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_step", Chain([EXIT_GATE]).run_step)
    for name in ("edgeface.pt", "face.png"):
        (tmp_path / name).touch()
    with pytest.raises(StepError, match="exit code 3"):
        run(RunConfig(tmp_path, str(tmp_path / "edgeface.pt"), runs=tmp_path / "runs", cycles=2))
