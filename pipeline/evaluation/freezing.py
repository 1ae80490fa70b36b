"""The threshold of every row of an evaluation, frozen before its faces are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import all_pairs
from metrics.verification import ErrorRates, error_rates
from pipeline.evaluation.cells import Cell
from pipeline.evaluation.faces import HR_PX, Split
from pipeline.evaluation.systems import System
from pipeline.evaluation.threshold_target import Target, threshold_for
from pipeline.threshold_file import ThresholdError, read_threshold, refuse_other_system


@dataclass(frozen=True)
class Frozen:
    """Thresholds and where they come from.

    Attributes:
        values: Threshold of each (system, size).
        target: What was asked for, as `--threshold` spells it.
        origin: In words.
        development: Rates of each (system, size) on the faces that the thresholds were chosen on, where they were.
    """

    values: dict[Cell, float]
    target: str
    origin: str
    development: dict[Cell, ErrorRates] = field(default_factory=dict)


def freeze_thresholds(
    target: Target,
    rows: Sequence[tuple[System, int]],
    embeddings: dict[Cell, NDArray[np.float32]],
    development: Split | None,
    per_size: bool = False,
) -> Frozen:
    """Decide the thresholds.

    Args:
        target: What is asked for.
        rows: The rows of the table, each a system at an input size.
        embeddings: Of the development split, where the target is met on one.
        development: That split.
        per_size: A threshold for each input size; else one for each system, on its sizes pooled.

    Raises:
        ThresholdError: A target too low for the split.
    """
    cells = [(system.key, size) for system, size in rows]
    if target.kind == "number":
        return Frozen(dict.fromkeys(cells, target.value), str(target), "a fixed number, the same for every row")
    if development is None:
        raise ValueError("a target needs a development split")
    values: dict[Cell, float] = {}
    achieved: dict[Cell, ErrorRates] = {}
    gallery_of = {system.key: system.gallery for system, _ in rows}
    for group in _groups(cells, per_size):
        scores = []
        for cell in group:
            seen = development.rows_at(cell[1])
            sides = embeddings[cell][seen], embeddings[gallery_of[cell[0]], HR_PX][seen]
            scores.append(all_pairs(*sides, development.person[seen], development.person[seen]))
        genuine = np.concatenate([found.genuine for found in scores])
        impostor = np.concatenate([found.impostor for found in scores])
        threshold = threshold_for(target, genuine, impostor)
        values |= dict.fromkeys(group, threshold)
        rates = (error_rates(found.genuine, found.impostor, threshold) for found in scores)
        achieved |= dict(zip(group, rates, strict=True))
    how = "for each system and input size" if per_size else "for each system, its input sizes pooled"
    people = f"{len(development.people)} people of {development.root.as_posix()}"
    return Frozen(values, str(target), f"chosen {how}, on {people}, then frozen", achieved)


def read_frozen(
    path: Path, cells: Sequence[Cell], evaluated: Split, hashes: dict[str, str], flip: bool, any_system: bool
) -> Frozen:
    """Read the thresholds of a file.

    Args:
        path: The file.
        cells: The rows of the table.
        evaluated: The split that it is used on.
        hashes: Of the networks in use.
        flip: Whether mirror images are added.
        any_system: Use a file of other networks, or of embeddings with or without mirror images.

    Raises:
        ThresholdError: It is no such file, belongs to another system, or was chosen on the evaluated faces.
    """
    chosen = read_threshold(path)
    if chosen.data.get("sha256") == evaluated.sha256:
        raise ThresholdError(
            f"{path}: chosen on {chosen.data.get('root')}, whose faces are those of the evaluated split itself, which "
            "flatters; choose it on other people"
        )
    if not any_system:
        refuse_other_system(path, chosen, hashes, flip)
    values = {cell: chosen.at(cell[1]) for cell in cells}
    origin = f"{path.as_posix()}: chosen for {chosen.system!r} at {chosen.target} on {chosen.data.get('people')} people"
    return Frozen(values, f"@{path.as_posix()}", f"{origin}, used for every row")


def _groups(cells: Sequence[Cell], per_size: bool) -> list[list[Cell]]:
    if per_size:
        return [[cell] for cell in cells]
    systems = list(dict.fromkeys(system for system, _ in cells))
    return [[cell for cell in cells if cell[0] == system] for system in systems]
