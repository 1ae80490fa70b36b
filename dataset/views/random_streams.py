"""Random numbers that belong to a sample, drawn for a whole batch on its device.

Torch's generators serve one stream a call; here each sample has a stream of its own, so that what happens to a face
does not depend on its batch, its process or its device. The mixer is SplitMix64 (Steele, Lea, Flood: Fast Splittable
Pseudorandom Number Generators, OOPSLA 2014), as a function of a counter.
"""

import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_STEP = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


class Draws:
    """Streams of random numbers, one a sample; each call continues them.

    Args:
        seeds: (B,) int64, one a sample.
    """

    def __init__(self, seeds: Tensor) -> None:
        self._state = _mix(seeds + _STEP)[:, None]
        self._used = 0

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return (B, *shape) float32, even in [low, high), in steps of 2^-24 of the range."""
        count = math.prod(shape)
        counter = torch.arange(self._used + 1, self._used + count + 1, device=self._state.device)
        self._used += count
        bits = _shift(_mix(self._state + counter * _STEP), 40)
        values = bits.to(torch.float32) * 2**-24
        return (low + (high - low) * values).reshape(-1, *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return (B, *shape) float32 of the standard normal distribution (Box-Muller)."""
        first, second = self.uniform(*shape, 2).unbind(-1)
        return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)

    def normal_square(self, channels: int, side: int) -> Tensor:
        """Return (B, channels, side, side) of the standard normal; a smaller side gives this one's upper left corner.

        The pixels are numbered in L-shaped shells around that corner. What is drawn afterwards depends on the side.
        """
        row, column = torch.arange(side)[:, None], torch.arange(side)
        shell = torch.maximum(row, column)
        number = shell**2 + torch.where(column == shell, row, shell + 1 + column)
        return self.normal(side * side, channels)[:, number.to(self._state.device)].permute(0, 3, 1, 2)

    def chance(self, probability: float) -> Tensor:
        """Return (B,) bool, true with this probability."""
        return self.uniform() < probability


def _mix(values: Tensor) -> Tensor:
    values = (values ^ _shift(values, 30)) * _FIRST
    values = (values ^ _shift(values, 27)) * _SECOND
    return values ^ _shift(values, 31)


def _shift(values: Tensor, bits: int) -> Tensor:
    """Shift int64 right as if it were unsigned."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
