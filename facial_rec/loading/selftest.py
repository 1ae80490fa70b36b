"""Checks on what a loaded network computes: does it look at the face, and does a rebuilt one agree with its program?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.jit._fuser import optimized_execution
from torch.nn import functional as F

from facial_rec.loading.refusals import ValuesError
from facial_rec.networks.edgeface import INPUT_SIZE_PX

CLOSEST = 1e-5
_CLOSEST_COSINE_QUANTISED = 0.98
_SMALLEST_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class Verdict:
    """How a rebuilt network compares with the program that it was rebuilt from."""

    agrees: bool
    difference: float
    text: str


@torch.no_grad()
def check_sees(path: Path, embed: Callable[[Tensor], Tensor], device: torch.device) -> None:
    """Check that two different faces get two different, finite embeddings.

    Args:
        path: The file, for messages.
        embed: (2, 3, 112, 112) in [0, 1] -> (2, D) unit embeddings.
        device: Where it computes.

    Raises:
        ValuesError: They are not finite, or the same.
    """
    embeddings = embed(probes().to(device))
    if not torch.isfinite(embeddings).all():
        raise ValuesError(f"{path}: its embeddings are not finite; use an earlier checkpoint")
    if float((embeddings[0] - embeddings[1]).abs().max()) < _SMALLEST_DIFFERENCE:
        raise ValuesError(f"{path}: gives different faces the same embedding; its training collapsed, use another file")


@torch.no_grad()
def agreement(rebuilt: nn.Module, program: nn.Module, quantised: bool) -> Verdict:
    """Compare a rebuilt network with its program, which may normalise its input itself.

    Args:
        rebuilt: (B, 3, 112, 112) in [-1, 1] -> (B, D).
        program: The same, or taking [0, 1].
        quantised: Whether the program computes with quantised activations, which nothing else repeats exactly.
    """
    faces = probes()
    expected = F.normalize(rebuilt((faces - 0.5) / 0.5))
    verdict = Verdict(False, float("inf"), "")
    for inputs, note in (((faces - 0.5) / 0.5, ""), (faces, ", which normalises its input itself")):
        # Optimising a script for one comparison takes far longer than the comparison.
        with optimized_execution(False):
            found = F.normalize(program(inputs).float())
        if found.shape != expected.shape:
            return verdict
        difference = float((found - expected).abs().max())
        cosine = float((found * expected).sum(1).min())
        if difference <= CLOSEST:
            return Verdict(True, difference, f"within {difference:.1e} of the program{note}")
        if quantised and cosine >= _CLOSEST_COSINE_QUANTISED:
            return Verdict(True, difference, f"de-quantised, cosine {cosine:.4f} to the program{note}")
        verdict = min(verdict, Verdict(False, difference, ""), key=lambda each: each.difference)
    return verdict


@cache
def probes() -> Tensor:
    """Return two fixed, coarse patterns that differ in colour and layout: (2, 3, 112, 112) in [0, 1]."""
    coarse = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)
