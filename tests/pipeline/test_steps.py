import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import steps
from pipeline.steps import Step, StepError, run_step


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands write their file and end; with a number among the options they end with that exit code.

    With `mute` they write nothing before.
    """
    seen: list[list[str]] = []

    class Finished:
        def __init__(self, command: list[str], check: bool) -> None:
            seen.append(command[2:])
            self.returncode = next((int(option) for option in command if option.isdigit()), 0)
            if "mute" not in command:
                Path(command[3]).write_text(f"run {len(seen)}")

    monkeypatch.setattr(steps.subprocess, "run", Finished)
    return seen


def step(folder: Path, *more: str, free: str = "mps") -> Step:
    (folder / "input").touch()
    arguments = ["command", str(folder / "out" / "result"), *more]
    return Step("a step", arguments, [folder / "input"], folder / "out" / "result", ["--device", free])


def interrupt(wanted: Step) -> None:
    """Run a step whose command is stopped by Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        run_step(replace(wanted, free=[*wanted.free, "130"]))


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
    (tmp_path / "out" / "result").unlink()
    run_step(step(tmp_path, "--option"))
    run_step(step(tmp_path, "--option"), force=True)
    assert len(calls) == 5 and all(call[-1] == "--overwrite" for call in calls[1:])


def test_a_run_that_was_there_before_the_first_step_is_continued(tmp_path: Path, calls: list[list[str]]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "result").write_text("half a run")
    run_step(step(tmp_path))
    assert len(calls) == 1 and "--overwrite" not in calls[0]


def test_what_an_interrupted_run_left_never_passes_for_the_result_of_another(
    tmp_path: Path, calls: list[list[str]]
) -> None:
    run_step(step(tmp_path))
    interrupt(step(tmp_path, "--other"))
    run_step(step(tmp_path))
    assert [call[-1] == "--overwrite" for call in calls] == [False, True, True]


def test_an_interrupted_retraining_continues_on_any_device(tmp_path: Path, calls: list[list[str]]) -> None:
    run_step(step(tmp_path))
    interrupt(step(tmp_path, "--other"))
    interrupt(step(tmp_path, "--other"))
    run_step(step(tmp_path, "--other", free="cpu"))
    assert ["--overwrite" in call for call in calls] == [False, True, False, False]
    run_step(step(tmp_path, "--other", free="cuda"))
    assert len(calls) == 4
    interrupt(step(tmp_path, "--third"))
    run_step(step(tmp_path, "--third"), force=True)
    assert ["--overwrite" in call for call in calls[4:]] == [True, True]


def test_a_command_that_cannot_continue_begins_anew(tmp_path: Path, calls: list[list[str]]) -> None:
    prepared = replace(step(tmp_path), continues=False)
    interrupt(prepared)
    run_step(prepared)
    assert ["--overwrite" in call for call in calls] == [False, True]


def test_a_command_that_was_refused_leaves_everything_as_it_was(tmp_path: Path, calls: list[list[str]]) -> None:
    with pytest.raises(StepError, match="exit code 2"):
        run_step(step(tmp_path, "mute", "2"))
    run_step(step(tmp_path))
    assert "--overwrite" not in calls[1]
    for _ in range(2):  # nothing was overwritten by the first attempt, so that the second has to as well
        with pytest.raises(StepError, match="exit code 2"):
            run_step(step(tmp_path, "mute", "2"))
        assert calls[-1][-1] == "--overwrite"
    run_step(step(tmp_path))
    assert len(calls) == 4


def test_a_damaged_record_runs_the_step_again(tmp_path: Path, calls: list[list[str]]) -> None:
    run_step(step(tmp_path))
    record = tmp_path / "out" / ".step.json"
    for number, damaged in enumerate(("{", "[]", '{"before": 3}', '{"state": {}, "finished": true}'), 2):
        assert json.loads(record.read_text())["finished"]
        record.write_text(damaged)
        run_step(step(tmp_path))
        assert len(calls) == number and calls[-1][-1] == "--overwrite"


def test_a_moved_input_or_another_spelling_of_its_path_is_no_change(tmp_path: Path, calls: list[list[str]]) -> None:
    first = step(tmp_path)
    run_step(replace(first, free=["--from", str(tmp_path / "input")]))
    moved = (tmp_path / "input").rename(tmp_path / "elsewhere")
    again = replace(first, inputs=[moved], free=["--from", str(moved)])
    run_step(again)
    assert len(calls) == 1
    moved.write_text("more")
    run_step(again)
    assert len(calls) == 2
