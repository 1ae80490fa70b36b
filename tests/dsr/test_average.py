from pathlib import Path

import pytest
import torch

from dsr.average import main
from dsr.dsr_file import load_dsr, save_dsr
from dsr.network import DSR


def saved(path: Path, start: int = 0, moved: float = 0.0, preset: str = "small") -> Path:
    """Write a network drawn from the seed `start`, each weight then moved a little at random."""
    torch.manual_seed(start)
    model = DSR(preset)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(moved * torch.randn_like(parameter))
    save_dsr(path, model, {"epoch": 1})
    return path


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(str(ended.value.code))


def test_each_weight_is_the_weighted_mean(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a.pth", moved=0.01), saved(tmp_path / "b.pth")
    assert call(first, second, "--shares", "0.25,0.75", "--out", tmp_path / "mean.pth") == 0
    a, b, mean = (dict(load_dsr(path).named_parameters()) for path in (first, second, tmp_path / "mean.pth"))
    for name in mean:
        torch.testing.assert_close(mean[name], 0.25 * a[name] + 0.75 * b[name])


def test_without_shares_all_count_alike_and_the_default_takes_part(tmp_path: Path) -> None:
    out = tmp_path / "mean.safetensors"
    assert call("default", "default", "default", "--half", "--out", out) == 0
    for mean, shipped in zip(load_dsr(out).parameters(), load_dsr(None).parameters(), strict=True):
        torch.testing.assert_close(mean, shipped)
    assert out.stat().st_size < 500_000


@pytest.mark.parametrize(
    ("second", "arguments", "message"),
    [
        ({"start": 1}, [], "trained on from the same start"),
        ({"preset": "base"}, [], "preset base"),
        ({}, ["--shares", "1"], "2 numbers"),
        ({}, ["--shares", "0.9,0.9"], "add up to 1"),
        ({}, ["--shares", "-1,2"], "add up to 1"),
        ({}, ["--shares", "nan,nan"], "add up to 1"),
        ({}, ["--shares", "half,half"], "add up to 1"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    tmp_path: Path, second: dict[str, object], arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other = saved(tmp_path / "a.pth"), saved(tmp_path / "b.pth", **second)  # type: ignore[arg-type]
    assert call(first, other, "--out", tmp_path / "mean.pth", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mean.pth").exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.pth")
    before = first.read_bytes()
    assert call(first, first, "--out", first) == 2
    assert call(first, first, "--out", tmp_path / "mean.onnx") == 2
    assert first.read_bytes() == before
