import json
from pathlib import Path

import pytest

from pipeline import steps
from pipeline.steps import Step, StepError, run_step


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    seen: list[list[str]] = []

    class Finished:
        def __init__(self, command: list[str], check: bool) -> None:
            seen.append(command[2:])
            self.returncode = int(command[-1]) if command[-1].isdigit() else 0
            if self.returncode == 0:
                Path(command[3]).write_text("result")

    monkeypatch.setattr(steps.subprocess, "run", Finished)
    return seen


def step(folder: Path, *more: str) -> Step:
    (folder / "input").touch()
    return Step("a step", ["command", str(folder / "output"), *more], [folder / "input"], folder / "output")


def test_a_step_runs_once_while_nothing_changes(tmp_path: Path, calls: list[list[str]]) -> None:
    run_step(step(tmp_path))
    run_step(step(tmp_path))
    assert len(calls) == 1


def test_a_changed_input_option_or_missing_output_runs_it_again_from_scratch(
    tmp_path: Path, calls: list[list[str]]
) -> None:
    run_step(step(tmp_path))
    (tmp_path / "input").write_text("more")
    run_step(step(tmp_path))
    run_step(step(tmp_path, "--option"))
    (tmp_path / "output").unlink()
    run_step(step(tmp_path, "--option"))
    run_step(step(tmp_path, "--option"), force=True)
    assert len(calls) == 5 and all(call[-1] == "--overwrite" for call in calls[1:])


def test_an_unfinished_step_is_continued_not_begun_anew(tmp_path: Path, calls: list[list[str]]) -> None:
    (tmp_path / "output").write_text("half a run")
    run_step(step(tmp_path))
    assert len(calls) == 1 and "--overwrite" not in calls[0]


def test_a_failed_step_stops_the_chain_and_leaves_no_record(tmp_path: Path, calls: list[list[str]]) -> None:
    with pytest.raises(StepError, match="exit code 2"):
        run_step(step(tmp_path, "2"))
    assert len(calls) == 1 and not (tmp_path / ".step.json").exists()
    with pytest.raises(KeyboardInterrupt):
        run_step(step(tmp_path, "130"))


def test_a_damaged_record_runs_the_step_again(tmp_path: Path, calls: list[list[str]]) -> None:
    run_step(step(tmp_path))
    assert json.loads((tmp_path / ".step.json").read_text())
    (tmp_path / ".step.json").write_text("{")
    run_step(step(tmp_path))
    assert len(calls) == 2
