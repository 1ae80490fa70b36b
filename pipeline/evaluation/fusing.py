"""The ways to make one answer of several frames, which `frames` sets against each other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.centring import Centres, take_away
from pipeline.evaluation.faces import HR_PX
from pipeline.recognition.fusion import unit, voices

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """Frames that are seen together.

    Attributes:
        frames: (S, K, D) unit embeddings.
        sizes_px: (S, K) native size of each.
    """

    frames: Floats
    sizes_px: NDArray[np.int64]

    @property
    def first(self) -> "Seen":
        """The first of each."""
        return Seen(self.frames[:, :1], self.sizes_px[:, :1])


ONE, ONE_CENTRED = "one frame", "one frame, centred"
OF_ONE = (ONE, ONE_CENTRED)
"""The ways that look at a single frame."""

Way = Callable[[Seen, Floats], tuple[Floats, Floats]]
"""Frames and (P, D) unit templates to (S, P) scores to verify by, and (S, P) to rank by."""


def ways_of(centres: Centres | None) -> dict[str, Way]:
    """Return every way, the one that others are set against first; centred ones where there are centres."""
    ways: dict[str, Way] = {
        ONE: lambda seen, templates: _fused(seen.first, templates),
        "best frame": _best_frame,
        "majority vote": _majority,
        "plain mean": _plain_mean,
        "fused": _fused,
    }
    if centres is not None:
        ways |= {
            ONE_CENTRED: lambda seen, templates: _centred(centres, seen.first, templates),
            "fused, centred": partial(_centred, centres),
        }
    return ways


def _best_frame(seen: Seen, templates: Floats) -> tuple[Floats, Floats]:
    """The largest; of several the first, since nothing else is known of them."""
    return _same(seen.frames[np.arange(len(seen.frames)), seen.sizes_px.argmax(1)] @ templates.T)


def _majority(seen: Seen, templates: Floats) -> tuple[Floats, Floats]:
    """Accepted where more than half of the frames are; ranked by how many are nearest to a person, then by mean."""
    scores = np.sort(seen.frames @ templates.T, axis=1)
    nearest = (seen.frames @ templates.T).argmax(2)
    votes = np.zeros(scores[:, 0].shape, np.float32)
    np.add.at(votes, (np.arange(len(votes))[:, None], nearest), 1)
    return scores[:, (scores.shape[1] - 1) // 2], votes + scores.mean(1) / 2  # means lie less than 2 apart


def _plain_mean(seen: Seen, templates: Floats) -> tuple[Floats, Floats]:
    return _same(unit(seen.frames.sum(1)) @ templates.T)


def _fused(seen: Seen, templates: Floats) -> tuple[Floats, Floats]:
    return _same(unit(_total(seen, seen.frames)) @ templates.T)


def _centred(centres: Centres, seen: Seen, templates: Floats) -> tuple[Floats, Floats]:
    """Fused as ever, of frames and templates without the centre of their size."""
    enrolled = unit(take_away(centres, templates, np.full(len(templates), HR_PX)))
    return _same(unit(_total(seen, take_away(centres, seen.frames, seen.sizes_px))) @ enrolled.T)


def _total(seen: Seen, frames: Floats) -> Floats:
    """Return the (S, D) sums of frames by the voices that those seen have."""
    weights = [voices(*each) for each in zip(seen.frames, seen.sizes_px, strict=True)]
    return np.asarray(np.einsum("sk,skd->sd", np.stack(weights), frames), np.float32)


def _same(scores: Floats) -> tuple[Floats, Floats]:
    return scores, scores
