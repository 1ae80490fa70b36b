import pytest
import torch

from dsr.network import DSR, PRESETS
from dsr.presets import main, multiply_adds


def test_every_preset_has_its_row_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--device", "cpu", "--batch", "1", "--repeats", "1"])
    assert ended.value.code == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    for name in PRESETS:
        count = sum(each.numel() for each in DSR(name).parameters())
        assert rows[name][3] == f"{count / 1e6:.2f}"


def test_multiply_adds_of_a_convolution_are_outputs_times_weights() -> None:
    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 5, 3, padding=1)

        def forward(self, canvas: torch.Tensor) -> torch.Tensor:
            return self.conv(canvas)

    assert multiply_adds(Head()) == 112 * 112 * 5 * 27
