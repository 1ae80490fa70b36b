"""Which threshold: a number, or a target met on development people and frozen, in a small file or on the fly."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metrics.verification import Array, eer, tar_at_far
from pipeline.threshold_file import ThresholdError

Kind = Literal["number", "eer", "far", "file"]


@dataclass(frozen=True)
class Target:
    """What `--threshold` asks for.

    Attributes:
        kind: What follows.
        value: The number, or the FAR; 0 for "eer" and "file".
        path: The file.
    """

    kind: Kind
    value: float = 0.0
    path: Path | None = None

    def __str__(self) -> str:
        return {"number": f"{self.value:g}", "eer": "eer", "far": f"far={self.value:g}", "file": f"@{self.path}"}[
            self.kind
        ]


def parse_target(text: str) -> Target:
    """Read `0.35`, `eer`, `far=1e-3` or `@FILE`.

    Raises:
        ThresholdError: None of these, or a number out of its range.
    """
    if text == "eer":
        return Target("eer")
    if text.startswith("@"):
        return Target("file", path=Path(text[1:]))
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if name == "far" and 0 < value <= 1:
        return Target("far", value)
    if name == "" and -1 <= value <= 1:
        return Target("number", value)
    raise ThresholdError(f"--threshold {text}: give a number in [-1, 1], eer, far=1e-3 (in (0, 1]) or @FILE")


def threshold_for(target: Target, genuine: Array, impostor: Array) -> float:
    """Return the threshold that meets a target on these scores.

    Raises:
        ThresholdError: The target asks for fewer false matches than these comparisons can show.
    """
    if target.kind == "eer":
        return eer(genuine, impostor).threshold
    found = tar_at_far(genuine, impostor, target.value)
    if not found.measurable:
        raise ThresholdError(
            f"far={target.value:g} is not measurable with {len(impostor)} impostor comparisons; "
            f"choose a target of at least {1 / len(impostor):.1g} or a larger development set"
        )
    return found.threshold
