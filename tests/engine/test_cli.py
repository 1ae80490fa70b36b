import errno
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
import typer

from engine.cli import command
from engine.errors import GateError, UserError


@dataclass(frozen=True)
class ExampleConfig:
    """Do something with photos."""

    photos: Annotated[Path, typer.Argument(help="Folder of photographs.")]
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 3
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None
    mode: Annotated[Literal["clean", "real"], typer.Option(help="Degradation.")] = "clean"
    edgeface: Annotated[list[str], typer.Option(help="Weights.")] = field(default_factory=lambda: ["a.pt"])


def call(arguments: list[str], run=lambda config: None) -> int:
    with pytest.raises(SystemExit) as ended:
        command(ExampleConfig, run, example="python -m example photos")(arguments)
    return ended.value.code


def parsed(arguments: list[str]) -> ExampleConfig:
    seen: list[ExampleConfig] = []
    assert call(arguments, seen.append) == 0
    return seen[0]


def test_flags_become_the_fields_of_the_dataclass() -> None:
    config = parsed(["x", "--epochs", "5", "--rate", "0.1", "--mode", "real", "--edgeface", "b", "--edgeface", "c"])
    assert config == ExampleConfig(Path("x"), 5, 0.1, "real", ["b", "c"])


def test_defaults_are_the_dataclass_defaults() -> None:
    assert parsed(["x"]) == ExampleConfig(Path("x"))


def test_help_shows_defaults_ranges_and_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--help"]) == 0
    text = capsys.readouterr().out
    assert "default: 3; x>=1" in text and "python -m example photos" in text and "Folder of photographs." in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [([], "photos"), (["x", "--epochs", "0"], "--epochs"), (["x", "--mode", "odd"], "--mode"), (["x", "--no"], "--no")],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("suffix", "text"), [(".toml", 'epochs = 7\nmode = "real"\n'), (".json", json.dumps({"epochs": 7, "mode": "real"}))]
)
def test_a_config_file_sets_defaults_that_flags_override(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"recipe{suffix}"
    path.write_text(text)
    assert parsed(["x", "--config", str(path)]) == ExampleConfig(Path("x"), 7, None, "real")
    assert parsed(["x", f"--config={path}", "--epochs", "9"]).epochs == 9


@pytest.mark.parametrize(
    ("text", "word"), [("epoch = 7", "'epoch'"), ("epochs = ", "not valid"), ("epochs = 0", "--epochs")]
)
def test_a_wrong_config_file_is_one_line_and_exit_code_2(
    tmp_path: Path, text: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    assert call(["x", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1
    assert call(["x", "--config", str(tmp_path / "none.toml")]) == 2


@pytest.mark.parametrize(("text", "word"), [("[1]", "no table"), ('{"epochs": null}', "epochs is null")])
def test_json_that_holds_no_options_is_one_line(
    tmp_path: Path, text: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    assert call(["x", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


@pytest.mark.parametrize("second", [["--config", "b.json"], ["--config=b.json"]])
def test_a_second_config_file_is_refused(tmp_path: Path, second: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    assert call(["x", "--config", str(path), *second]) == 2
    assert "given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UserError("faces: no such folder;\n check the path"), 2),
        (GateError("collapsed"), 3),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "no space", "runs/last.pth"), 2),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n20 GiB"), 2),
    ],
)
def test_what_a_user_can_mend_is_one_line_with_its_exit_code(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: ExampleConfig) -> None:
        raise raised

    assert call(["x"], run) == code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err


def test_a_programming_error_keeps_its_traceback() -> None:
    def run(config: ExampleConfig) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(ExampleConfig, run)(["x"])


def test_an_integer_result_is_the_exit_code() -> None:
    assert call(["x"], lambda config: 1) == 1
