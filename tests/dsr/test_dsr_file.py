from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dsr.dsr_file import DSRWeightsError, load_dsr, save_dsr
from dsr.network import DSR
from engine.checkpoint import CheckpointError, save_checkpoint


def trained() -> DSR:
    torch.manual_seed(0)
    model = DSR("small")
    torch.nn.init.normal_(model.tail.weight, std=0.01)
    return model


@pytest.mark.parametrize("name", ["best.pth", "dsr.safetensors"])
def test_a_saved_super_resolver_restores_the_same_faces(tmp_path: Path, name: str) -> None:
    model, canvas = trained().eval(), torch.rand(1, 3, 112, 112)
    save_dsr(tmp_path / name, model, {"epoch": 1})
    loaded = load_dsr(tmp_path / name)
    assert loaded.preset == "small" and not any(p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(loaded(canvas), model(canvas))


def test_half_precision_is_read_back_as_float(tmp_path: Path) -> None:
    save_dsr(tmp_path / "dsr.safetensors", trained(), {}, dtype=torch.float16)
    assert next(load_dsr(tmp_path / "dsr.safetensors").parameters()).dtype == torch.float32


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = trained().state_dict()
    state.pop("head.weight")
    save_checkpoint(tmp_path / "a.pth", {"format": "dsr", "preset": "small", "model": state})
    with pytest.raises(DSRWeightsError, match="head.weight: missing"):
        load_dsr(tmp_path / "a.pth")
    save_checkpoint(tmp_path / "b.pth", {"format": "dsr", "preset": "base", "model": trained().state_dict()})
    with pytest.raises(DSRWeightsError, match="do not fit preset base"):
        load_dsr(tmp_path / "b.pth")
    save_checkpoint(tmp_path / "c.pth", {"format": "dsr", "preset": "odd", "model": {}})
    with pytest.raises(DSRWeightsError, match="unknown preset"):
        load_dsr(tmp_path / "c.pth")


@pytest.mark.parametrize("contents", [{}, {"model": 3}, {"model": {"head.weight": 3}}])
def test_a_checkpoint_without_weights_is_refused(tmp_path: Path, contents: dict[str, object]) -> None:
    save_checkpoint(tmp_path / "a.pth", {"format": "dsr", "preset": "small", **contents})
    with pytest.raises(DSRWeightsError, match="without its weights"):
        load_dsr(tmp_path / "a.pth")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    model = trained()
    with torch.no_grad():
        model.tail.bias[0] = float("nan")
    save_dsr(tmp_path / "a.pth", model, {})
    with pytest.raises(DSRWeightsError, match=r"tail.bias holds NaN"):
        load_dsr(tmp_path / "a.pth")


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "text.pth").write_text("hello")
    for name, word in (
        ("other.safetensors", "no format mark"),
        ("text.safetensors", "not a whole"),
        ("none.safetensors", "no such file"),
    ):
        with pytest.raises(DSRWeightsError, match=word):
            load_dsr(tmp_path / name)
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_dsr(tmp_path / "text.pth")
