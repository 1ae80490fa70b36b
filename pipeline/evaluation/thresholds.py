"""Which threshold: a number, or a target met on development people and frozen, in a small file or on the fly."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import UserError
from engine.files import write_json
from pipeline.scores.verification import Array, ScoreError, eer, tar_at_far

SCHEMA = "dsr-edgeface/threshold/1"
Kind = Literal["number", "eer", "far", "file"]


class ThresholdError(UserError):
    """A threshold that cannot be used."""


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


@dataclass(frozen=True)
class ThresholdFile:
    """A threshold with what it was chosen on.

    Attributes:
        value: Accept at or above it.
        by_size: A threshold for each input size in pixels instead, where they were asked for.
        target: What it was chosen for, as `--threshold` spells it.
        system: Key of the system, such as "dsr+finetuned".
        hashes: Hashes of the networks that the system is made of.
        data: What it was chosen on: hash, people, images, sizes.
        achieved: Rates on that data, with intervals.
    """

    value: float
    by_size: dict[int, float]
    target: str
    system: str
    hashes: dict[str, str]
    data: dict[str, Any]
    achieved: dict[str, Any]

    def at(self, size_px: int) -> float:
        """Return the threshold for an input size."""
        return self.by_size.get(size_px, self.value)


def write_threshold(path: Path, chosen: ThresholdFile) -> None:
    """Write a threshold file, whole or not at all."""
    write_json(path, {"schema": SCHEMA, **vars(chosen)})


def read_threshold(path: Path) -> ThresholdFile:
    """Read a threshold file.

    Raises:
        ThresholdError: Missing, or not such a file.
    """
    if not path.is_file():
        raise ThresholdError(f"{path}: no such threshold file; make it with python -m pipeline choose-threshold")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        values["by_size"] = {int(size): float(value) for size, value in values["by_size"].items()}
        chosen = ThresholdFile(**values)
        if not all(-1 <= value <= 1 for value in [chosen.value, *chosen.by_size.values()]):
            raise ValueError("range")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ThresholdError(f"{path}: not a threshold file of {SCHEMA}; choose it again") from None
    return chosen


def refuse_other_system(path: Path, chosen: ThresholdFile, hashes: dict[str, str]) -> None:
    """Check that a threshold belongs to the networks in use.

    Raises:
        ThresholdError: One of the networks differs, or is absent.
    """
    for role, value in chosen.hashes.items():
        if hashes.get(role) != value:
            found = "absent" if role not in hashes else "another one"
            raise ThresholdError(
                f"{path}: chosen for the system {chosen.system!r}, whose {role} network is {found} here; choose a "
                "threshold for this system, or pass --any-system to use it all the same"
            )


def explain_unmeasurable(error: ScoreError, where: str) -> ThresholdError:
    """Say on which data a threshold could not be chosen."""
    return ThresholdError(f"{where}: {error}")
