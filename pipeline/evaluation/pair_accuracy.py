"""Accuracy on a list of pairs, LFW's protocol: each fold judged by a threshold that other folds chose.

A list without folds is shared out into ten parts, which judge each other in the same way.
"""

import numpy as np
from numpy.typing import NDArray

from metrics.bootstrap import Weights, accuracy_replicates, rate_interval
from metrics.comparisons import listed_pairs
from metrics.folds import FoldAccuracy, best_threshold, fold_accuracy, judge
from metrics.verification import Array
from pipeline.evaluation.cells import Cell, embed_cells
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.faces import HR_PX
from pipeline.evaluation.freezing import Frozen
from pipeline.evaluation.measures import Json, verification_figures
from pipeline.evaluation.protocols import PairList
from pipeline.evaluation.systems import System


def freeze_pair_thresholds(
    embedder: Embedder, systems: list[System], sizes_px: tuple[int, ...], pairs: PairList
) -> Frozen:
    """Choose the threshold of each cell on the pairs of another split, as LFW's protocol does on the other folds.

    Only the faces of the pairs are embedded: the first at full size, the second at each input size.

    Args:
        embedder: Of the other split.
        systems: The rows.
        sizes_px: Input sizes.
        pairs: The other split's pairs.
    """
    enrolled, first = np.unique(pairs.rows[:, 0], return_inverse=True)
    seen, second = np.unique(pairs.rows[:, 1], return_inverse=True)
    galleries = {system.gallery for system in systems}
    gallery = embedder.embed([system for system in systems if system.key in galleries], HR_PX, enrolled)
    probes = embed_cells(embedder, systems, sizes_px, seen)
    gallery_of = {system.key: gallery[system.gallery] for system in systems}
    places = np.column_stack([second, first])
    values: dict[Cell, float] = {}
    for (key, size), found in probes.items():
        kept = np.isin(pairs.rows[:, 1], embedder.split.rows_at(size))
        values[key, size] = best_threshold(listed_pairs(found, gallery_of[key], places[kept]), pairs.same[kept])
    origin = f"the most accurate on the {len(pairs.same):,} pairs of {pairs.source}, for each system and input size"
    return Frozen(values, "pairs", origin)


def measure_pairs(
    scores: Array, pairs: PairList, person: NDArray[np.int64], pair_threshold: float | None, weights: Weights | None
) -> tuple[FoldAccuracy | None, Json, NDArray[np.float64] | None]:
    """Judge every pair.

    Args:
        scores: (P,) similarity of each pair.
        pairs: The list.
        person: (N,) whose face each row of the split is.
        pair_threshold: Chosen on other pairs; None: each part is judged by the threshold of the others.
        weights: Of the bootstrap, or None.

    Returns:
        The decisions (None with a pair or two and no threshold), figures for the report, and replicates of the
        accuracy.
    """
    folds = np.unique(pairs.folds)
    several = len(folds) > 1
    if pair_threshold is not None:
        found = judge(scores, pairs.same, pairs.folds, [pair_threshold] * len(folds))
    elif len(np.unique(pairs.parts)) > 1:
        found = fold_accuracy(scores, pairs.same, pairs.parts)
    else:
        return None, {"pairs": len(scores)}, None
    figures: Json = {
        "pairs": len(scores),
        "mean": found.mean,
        "sd": found.sd if several else None,
        "sem": found.sem if several else None,
        "folds": list(found.folds),
        "thresholds": list(found.thresholds),
        "interval": None,
    }
    if weights is None:
        return found, figures, None
    replicas = accuracy_replicates(found.correct, pairs.same, person[pairs.rows], weights)
    figures["interval"] = rate_interval(found.mean, replicas, len(np.unique(person[pairs.rows])))
    return found, figures, replicas


def with_verification(figures: Json, scores: Array, same: NDArray[np.bool_], threshold: float) -> Json:
    """Add the 1:1 figures of the same pairs, where both kinds are there."""
    if not same.any() or same.all():
        return figures
    return {**figures, "verification": verification_figures(scores[same], scores[~same], threshold)}
