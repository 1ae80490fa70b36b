"""Checks on what a loaded network computes: does it look at the face, and does a rebuilt one agree with its program?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.jit._fuser import optimized_execution
from torch.nn import functional as F

from facial_rec.loading.refusals import DamagedError, ValuesError
from facial_rec.networks.edgeface import INPUT_SIZE_PX

CLOSEST = 1e-5
# Programs that round on the way, which nothing else repeats exactly: the least cosine, by what they compute with.
_LEAST_COSINE = {"qint8": 0.98, "bfloat16": 0.999, "float16": 0.9999}
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
def agreement(rebuilt: nn.Module, program: nn.Module, dtype: str) -> Verdict:
    """Compare a rebuilt network with its program, which may normalise its input itself.

    Args:
        rebuilt: (B, 3, 112, 112) in [-1, 1] -> (B, D).
        program: The same, or taking [0, 1]; one that cannot run here agrees, since its tensors are all that is left.
        dtype: Precision of the stored tensors, as `Weights.dtype` says.
    """
    faces = probes()
    expected = F.normalize(rebuilt((faces - 0.5) / 0.5))
    verdict = Verdict(False, float("inf"), "")
    for inputs, note in (((faces - 0.5) / 0.5, ""), (faces, ", which normalises its input itself")):
        try:
            # Optimising a script for one comparison takes far longer than the comparison.
            with optimized_execution(False):
                output = program(inputs)
        except DamagedError as error:
            return Verdict(True, float("inf"), f"not compared, it is {error}")
        if output.shape != expected.shape:
            return verdict
        found = F.normalize(output.float())
        difference = float((found - expected).abs().max())
        cosine = float((found * expected).sum(1).min())
        if difference <= CLOSEST:
            return Verdict(True, difference, f"within {difference:.1e} of the program{note}")
        computed = f"{dtype} {output.dtype}"
        least = min((least for name, least in _LEAST_COSINE.items() if name in computed), default=None)
        if least is not None and cosine >= least:
            done = "de-quantised" if dtype == "qint8" else "in float32"
            return Verdict(True, difference, f"{done}, cosine {cosine:.4f} to the program{note}")
        verdict = min(verdict, Verdict(False, difference, ""), key=lambda each: each.difference)
    return verdict


@cache
def probes() -> Tensor:
    """Return two fixed, coarse patterns that differ in colour and layout: (2, 3, 112, 112) in [0, 1]."""
    coarse = torch.rand(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)
