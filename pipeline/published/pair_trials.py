"""Trials of verification: listed pairs of faces, or of templates made of several."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import FAILED_SCORE, listed_pairs
from metrics.folds import fold_accuracy
from metrics.templates import media_templates
from metrics.verification import Array, auc, eer, tar_at_far
from pipeline.evaluation.measures import Json, finite
from pipeline.published.published_set import ALL, Sides, Sizes, split_by_size
from pipeline.reporting.score_files import BLOCK, Compared


@dataclass(frozen=True)
class PairTrial:
    """Pairs of faces.

    Attributes:
        title: What is compared.
        rows: (P, 2) faces of each pair.
        same: (P,) whether it shows one person.
        folds: (P,) its fold, for the accuracy; None: no accuracy.
        fars: False accept rates at which the true accept rate is told.
    """

    title: str
    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64] | None = None
    fars: tuple[float, ...] = ()

    def measure(self, sides: Sides) -> list[Json]:
        """Return the figures of all pairs, and of the pairs of each size: that of the smaller face."""
        sizes = np.minimum(sides.gallery_px[self.rows[:, 0]], sides.probe_px[self.rows[:, 1]])
        return pair_figures(self.scores(sides), self.same, sizes, self.folds, self.fars)

    def scores(self, sides: Sides) -> Array:
        """Return the (P,) similarities."""
        return _scores(sides.probes, sides.gallery, self.rows[:, ::-1])

    def compared(self, sides: Sides, names: list[str]) -> Iterator[Compared]:
        """Yield the pairs by the names of the faces, part by part."""
        return _compared(self.rows, self.same, self.scores(sides), lambda row: names[row])


@dataclass(frozen=True)
class TemplateTrial:
    """Pairs of templates; several faces make one, and those of one video share one voice.

    Attributes:
        title: What is compared.
        template: (N,) number of the template that each face belongs to.
        media: (N,) the picture or video that it is from.
        weights: (N,) by which embeddings are multiplied; None: all alike.
        pairs: (P, 2) numbers of templates.
        same: (P,) whether both are of one person.
        fars: False accept rates at which the true accept rate is told.
    """

    title: str
    template: NDArray[np.int64]
    media: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]
    fars: tuple[float, ...]

    def measure(self, sides: Sides) -> list[Json]:
        """Return the figures of all pairs, and by size: of the smaller template, whose size is its largest face's."""
        names = np.unique(self.template)
        largest = np.zeros(len(names), np.int64)
        np.maximum.at(largest, np.searchsorted(names, self.template), sides.probe_px)
        sizes = largest[np.searchsorted(names, self.pairs)].min(axis=1)
        return pair_figures(self.scores(sides), self.same, sizes, None, self.fars)

    def scores(self, sides: Sides) -> Array:
        """Return the (P,) similarities."""
        names, made = media_templates(sides.probes, self.template, self.media, self.weights)
        return _scores(made, made, np.searchsorted(names, self.pairs))

    def compared(self, sides: Sides, names: list[str]) -> Iterator[Compared]:
        """Yield the pairs by the numbers of the templates, part by part."""
        return _compared(self.pairs, self.same, self.scores(sides), lambda number: f"template {number}")


def pair_figures(
    scores: Array,
    same: NDArray[np.bool_],
    sizes_px: Sizes,
    folds: NDArray[np.int64] | None,
    fars: tuple[float, ...],
) -> list[Json]:
    """Return the figures of all pairs and of each size; of pairs of one kind only their mean scores are measurable.

    Thresholds are those of all pairs, also for the rows of a size: one threshold is what a system has. The area under
    the ROC and the equal error rate of a size are of its own pairs.

    Args:
        scores: (P,) similarities.
        same: (P,) whether a pair shows one person.
        sizes_px: (P,) by which the pairs are split.
        folds: (P,) for the accuracy, or None.
        fars: False accept rates.
    """
    parted = same.any() and not same.all()
    found = fold_accuracy(scores, same, folds) if folds is not None and parted else None
    at_fars = {far: tar_at_far(scores[same], scores[~same], far) if parted else None for far in fars}

    def row(group: str, chosen: NDArray[np.bool_]) -> Json:
        genuine, impostor = scores[chosen & same], scores[chosen & ~same]
        both = len(genuine) > 0 and len(impostor) > 0
        figures: Json = {"group": group, "count": int(chosen.sum()), "genuine": len(genuine)}
        if found is not None:
            figures["accuracy"] = float(found.correct[chosen].mean())
        for far, at in at_fars.items():
            accepted = genuine >= at.threshold if at is not None and at.measurable else genuine[:0]
            figures[f"tar@far={far:g}"] = float(accepted.mean()) if len(accepted) else None
        figures["auc"] = finite(auc(genuine, impostor)) if both else None
        figures["eer"] = finite(eer(genuine, impostor).value) if both else None
        figures["genuine_mean"], figures["impostor_mean"] = _mean(genuine), _mean(impostor)
        return figures

    whole = row(ALL, np.ones(len(scores), bool))
    if found is not None:
        whole |= {"accuracy": found.mean, "accuracy_sd": found.sd, "folds": list(found.folds)}
    return [whole, *(row(name, chosen) for name, chosen in split_by_size(sizes_px))]


def _compared(
    pairs: NDArray[np.int64], same: NDArray[np.bool_], scores: Array, name_of: Callable[[int], str]
) -> Iterator[Compared]:
    """Yield (P, 2) pairs part by part; of people only whether they are one is known, so that each pair has its own."""
    for start in range(0, len(pairs), BLOCK):
        part = slice(start, start + BLOCK)
        claimed = [f"pair {number}" for number in range(start, start + len(scores[part]))]
        real = [who if one else f"{who}, another" for who, one in zip(claimed, same[part].tolist(), strict=True)]
        model, probe = (list(map(name_of, side)) for side in pairs[part].T.tolist())
        yield Compared(claimed, model, real, probe, scores[part])


def _mean(scores: Array) -> float | None:
    """Return the mean similarity of the pairs whose faces could be read."""
    read = scores[scores > FAILED_SCORE]
    return float(read.mean(dtype=np.float64)) if len(read) else None


def _scores(probes: Array, gallery: Array, pairs: NDArray[np.int64]) -> Array:
    """Return the scores of (P, 2) rows of probes and gallery, block by block."""
    parts = [listed_pairs(probes, gallery, pairs[start : start + BLOCK]) for start in range(0, len(pairs), BLOCK)]
    return np.concatenate(parts)
