"""Flags decide, whatever the environment says, and config.json tells what was done."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.device import computes_with, make_accelerator, pick_device
from engine.environment import let_flags_decide, noted
from engine.optimisation import Optimisation, Training
from engine.rundir import open_run
from tests.engine.test_rundir import Config

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test takes out of the environment is there again afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "7"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_TORCH_DEVICE", "meta"),
        ("ACCELERATE_USE_FSDP", "true"),
        ("WORLD_SIZE", "4"),
    ],
)
def test_a_variable_of_a_library_does_not_decide_against_the_flags(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ[name] = value
    accelerator = make_accelerator(CPU, "fp32", 3)
    assert accelerator.state.dynamo_plugin.backend.value == "NO"
    used = computes_with(accelerator)
    assert used.items() >= {"device": "cpu", "precision": "fp32", "accumulate": 3, "processes": 1}.items()
    assert f"{name}={value}" in capsys.readouterr().err


def test_a_precision_that_a_variable_forbids_is_used_all_the_same() -> None:
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    assert computes_with(make_accelerator(CPU, "bf16"))["precision"] == "bf16"


def test_variables_that_say_nothing_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ |= {"ACCELERATE_USE_CPU": "false", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "RANK": "0", "WORLD_SIZE": "1"}
    assert let_flags_decide() == ["ACCELERATE_USE_CPU", "ONEDNN_DEFAULT_FPMATH_MODE"]
    line = "not used, since the flags decide: ONEDNN_DEFAULT_FPMATH_MODE=BF16; unset to silence this\n"
    assert capsys.readouterr().err == line and let_flags_decide() == [] and os.environ["WORLD_SIZE"] == "1"


def test_every_command_that_computes_looks_at_the_environment_first() -> None:
    os.environ["NVIDIA_TF32_OVERRIDE"] = "1"
    pick_device("cpu")
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ


def test_compilation_that_was_asked_for_is_not_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "disable", True)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    settings = Optimisation(4, 0.1, 1, 0.0, 1.0, 0.9)
    Training(nn.Linear(2, 1), settings, make_accelerator(CPU, "fp32"), compiled=True)
    assert torch._dynamo.config.disable is False


def test_config_json_tells_what_a_run_computes_with_and_what_a_continuation_does(tmp_path: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    config = Config(tmp_path)
    used = computes_with(make_accelerator(CPU, "auto"))
    with open_run(config, {}, used=used) as folder:
        (folder / "last.pth").touch()
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["used"] == {**used, "environment": noted()} and noted()["OMP_NUM_THREADS"] == "1"
    assert used["precision"] in ("fp32", "bf16") and "continued" not in written
    for device in ("cuda", "cuda", "cpu"):
        with open_run(replace(config, device=device), {}, used={**used, "device": device}):
            pass
    continued = json.loads((tmp_path / "config.json").read_text())["continued"]
    assert [each["used"]["device"] for each in continued] == ["cuda", "cpu"]
