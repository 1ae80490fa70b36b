"""What each preset of the super-resolver costs: parameters, multiply-adds and time on this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dsr.network import DSR, FACE_PX, PRESETS
from engine.cli import command
from engine.device import pick_device
from engine.options import Device


@dataclass(frozen=True)
class PresetsConfig:
    """Print the presets of the super-resolver with parameters, multiply-adds a face and measured latency."""

    device: Device = "auto"
    batch: Annotated[int, typer.Option(min=1, help="Faces a batch, for the rate.")] = 32
    repeats: Annotated[int, typer.Option(min=1, help="Measurements, of which the median is shown.")] = 20


def presets(config: PresetsConfig) -> None:
    """Print the table."""
    device = pick_device(config.device)
    where = f"{device}, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    print(f"{'preset':<8}{'channels':>14}{'blocks':>10}{'parameters':>12}{'MMAC/face':>11}{'ms/face':>9}{'faces/s':>9}")
    for name, preset in PRESETS.items():
        model = DSR(name).eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        parameters = sum(each.numel() for each in model.parameters())
        single, many = (_seconds(model, _canvas(count, device), config.repeats) for count in (1, config.batch))
        shape = f"{_joined(preset.channels):>14}{_joined(preset.blocks):>10}"
        cost = f"{parameters / 1e6:>10.2f} M{multiply_adds(model) / 1e6:>11.0f}"
        print(f"{name:<8}{shape}{cost}{1e3 * single:>9.1f}{config.batch / many:>9.0f}")
    print(f"float32 on {where}; ms/face one by one, faces/s in batches of {config.batch}")


def multiply_adds(model: nn.Module) -> float:
    """Return the multiply-adds of one face."""
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(_canvas(1, device))
    return float(counter.get_total_flops() / 2)


@torch.no_grad()
def _seconds(model: Callable[[Tensor], Tensor], canvas: Tensor, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(canvas).flatten()[0].item()  # waits for the device
        times.append(time.perf_counter() - start)
    return median(times[1:])


def _canvas(count: int, device: torch.device) -> Tensor:
    return torch.rand(count, 3, FACE_PX, FACE_PX).to(device, memory_format=torch.channels_last)


def _joined(values: tuple[int, ...]) -> str:
    return "/".join(map(str, values))


main = command(PresetsConfig, presets, example="python -m dsr presets --device cpu")

if __name__ == "__main__":
    main()
