"""The evaluation itself: every system at every size on one split, with intervals and paired differences."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metrics.bootstrap import IdentityBootstrap, Weights, draw_people, rate_interval
from metrics.comparisons import PairScores, all_pairs, listed_pairs
from metrics.differences import mcnemar, paired_difference
from metrics.folds import FoldAccuracy
from metrics.identification import Searches
from metrics.resampling import resample
from metrics.verification import sort_both
from pipeline.evaluation.cells import Cell, Embeddings, cells_of
from pipeline.evaluation.extremes import Extremes, counts_by_threshold, find_extremes
from pipeline.evaluation.faces import HR_PX, Split
from pipeline.evaluation.freezing import Frozen
from pipeline.evaluation.groups import group_figures
from pipeline.evaluation.measures import Json, identification_figures, search_gallery, verification_figures
from pipeline.evaluation.pair_accuracy import measure_pairs, with_verification
from pipeline.evaluation.protocols import ImageSets, PairList, SearchPlan
from pipeline.evaluation.systems import System
from pipeline.reporting.summary import value_of

COMPARED_WITH = {
    "nearest": ["bicubic"],
    "bilinear": ["bicubic"],
    "dsr": ["bicubic"],
    "finetuned": ["bicubic"],
    "adapted": ["bicubic"],
    "dsr+finetuned": ["bicubic", "finetuned", "dsr"],
    "dsr+adapted": ["bicubic", "adapted", "dsr"],
    "hr+finetuned": ["hr"],
    "hr+adapted": ["hr"],
    "dsr+unseen": ["bicubic+unseen"],
}
"""Which rows are set against which: the controls that each has to beat."""


@dataclass(frozen=True)
class Plan:
    """What is compared and how precisely.

    Attributes:
        sizes_px: Input sizes of the probes.
        searches: Who is enrolled and who searches; None where nobody has two images.
        distractors: Key of a full-size row to (M, D) templates enrolled beside those of its gallery.
        pairs: A list of pairs, or None.
        sets: Sets of images that the lists may name, or None.
        pair_thresholds: What the pairs are judged by, chosen on another split's; None: by the other folds.
        replicates: Bootstrap draws; 0 leaves the intervals out.
        seed: Of the draws.
        extremes: Worst genuine and worst impostor comparisons kept of each cell.
    """

    sizes_px: tuple[int, ...]
    searches: SearchPlan | None
    pairs: PairList | None
    replicates: int = 500
    seed: int = 0
    extremes: int = 2000
    pair_thresholds: Frozen | None = None
    distractors: dict[str, Embeddings] = field(default_factory=dict)
    sets: ImageSets | None = None


@dataclass(frozen=True)
class Sides:
    """What a cell compares.

    Attributes:
        probes: (N, D) embeddings by the system under test.
        gallery: (N, D) embeddings by the system that enrolled.
        person: (N,) whose face each row is.
        weights: Draws of people; None without intervals.
        seen: (N,) whether there is a probe of each face.
    """

    probes: Embeddings
    gallery: Embeddings
    person: NDArray[np.int64]
    weights: Weights | None
    seen: NDArray[np.bool_]

    def all_pairs(self) -> tuple[NDArray[np.int64], PairScores]:
        """Compare every probe with every enrolled face of those that have one, but not with the same photograph.

        Returns:
            (M,) the rows that have a probe, and their scores, which count the rows among these.
        """
        rows = np.flatnonzero(self.seen)
        person = self.person[rows]
        return rows, all_pairs(self.probes[rows], self.gallery[rows], person, person)

    def with_sets(self, sets: ImageSets | None) -> "Sides":
        """Return these rows, and those of the sets after them."""
        if sets is None:
            return self
        person = np.append(self.person, sets.person)
        seen = np.append(self.seen, np.bincount(sets.number, self.seen[sets.rows]) > 0)
        return Sides(sets.append_to(self.probes), sets.append_to(self.gallery), person, self.weights, seen)


@dataclass
class Measured:
    """One cell: figures for the report, and what is needed to set it against another."""

    system: System
    size_px: int
    threshold: float
    figures: Json
    extremes: Extremes
    counts: Json
    groups: list[Json]
    replicates: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    folds: FoldAccuracy | None = None


def evaluate(
    split: Split,
    systems: list[System],
    embeddings: dict[Cell, Embeddings],
    thresholds: dict[Cell, float],
    plan: Plan,
) -> list[Measured]:
    """Measure every cell.

    Args:
        split: The faces.
        systems: The rows.
        embeddings: Of each cell; each system's gallery is the full-size cell that its `gallery` names.
        thresholds: Of each cell.
        plan: What is compared.
    """
    weights = draw_people(len(split.people), plan.replicates, plan.seed) if plan.replicates else None
    measured = []
    for system, size in tqdm(cells_of(systems, plan.sizes_px), desc="measuring", unit="row", leave=False):
        sides = sides_of(split, embeddings, system, size, weights)
        cell = _measure_all_pairs(system, size, thresholds[system.key, size], sides, split, plan)
        listed = sides.with_sets(plan.sets)
        _add_searches(cell, listed, plan)
        _add_pairs(cell, listed, plan)
        measured.append(cell)
    return measured


def sides_of(
    split: Split, embeddings: dict[Cell, Embeddings], system: System, size_px: int, weights: Weights | None = None
) -> Sides:
    """Return what a cell compares; arguments as for `evaluate`."""
    seen = np.isin(np.arange(len(split)), split.rows_at(size_px))
    return Sides(embeddings[system.key, size_px], embeddings[system.gallery, HR_PX], split.person, weights, seen)


def _measure_all_pairs(
    system: System, size_px: int, threshold: float, sides: Sides, split: Split, plan: Plan
) -> Measured:
    rows, scores = sides.all_pairs()
    probes, person = sides.probes[rows], sides.person[rows]
    genuine, impostor = sort_both(scores.genuine, scores.impostor)
    figures: Json = {
        "system": system.key,
        "name": system.name,
        "size_px": size_px,
        "threshold": threshold,
        "failed": int(np.isnan(probes[:, 0]).sum()),
        "verification": verification_figures(genuine, impostor, threshold),
    }
    extremes = find_extremes(scores, plan.extremes, rows)
    attributes = {name: [values[row] for row in rows] for name, values in split.attributes.items()}
    groups = group_figures(scores, person, attributes, threshold, sides.weights, plan.seed)
    cell = Measured(system, size_px, threshold, figures, extremes, counts_by_threshold(genuine, impostor), groups)
    if sides.weights is not None:
        _add_intervals(cell, resample(scores, person, sides.weights, plan.seed))
    return cell


def differences(measured: list[Measured]) -> list[Json]:
    """Return the paired difference of each row from the controls it has to beat, at the same size."""
    by_cell = {(cell.system.key, cell.size_px): cell for cell in measured}
    found = []
    for cell in measured:
        for other in COMPARED_WITH.get(cell.system.key, []):
            reference = by_cell.get((other, cell.size_px))
            if reference is not None:
                found += _differences_of(cell, reference)
    return found


def _differences_of(cell: Measured, reference: Measured) -> list[Json]:
    head: Json = {"size_px": cell.size_px, "system": cell.system.key, "reference": reference.system.key}
    found = [
        {**head, "figure": name, **result}
        for name, values in cell.replicates.items()
        if name != "pairs"
        and (
            result := paired_difference(
                value_of(cell.figures, name), value_of(reference.figures, name), values, reference.replicates[name]
            )
        )
    ]
    if cell.folds is not None and reference.folds is not None:
        test = mcnemar(cell.folds.correct, reference.folds.correct)
        means = cell.folds.mean, reference.folds.mean
        paired = (
            paired_difference(*means, cell.replicates["pairs"], reference.replicates["pairs"])
            if cell.replicates
            else None
        )
        head |= {"figure": "pairs accuracy", "difference": means[0] - means[1]}
        found.append({**head, "interval": paired["interval"] if paired else None, **test})
    return found


def _add_searches(cell: Measured, sides: Sides, plan: Plan) -> None:
    cell.figures["identification"] = None
    if plan.searches is None:
        return
    searches = replace(plan.searches, probes=plan.searches.probes[sides.seen[plan.searches.probes]])
    if not sides.seen.all() and not np.isin(sides.person[searches.probes], sides.person[searches.gallery]).any():
        return
    strangers = plan.distractors.get(cell.system.gallery)
    found, searching, check = search_gallery(
        sides.probes, sides.gallery, sides.person, searches, [] if strangers is None else [strangers]
    )
    cell.figures["identification"] = {
        **identification_figures(found, cell.threshold),
        "index": asdict(check) if check is not None else None,
    }
    if sides.weights is not None:
        _rank_interval(cell, found, searching, sides.weights)


def _rank_interval(cell: Measured, found: Searches, person: NDArray[np.int64], weights: Weights) -> None:
    """Resample the searching people; the gallery stays, since its size decides how hard a search is."""
    people = weights.shape[1]
    first = np.bincount(person, found.rank == 1, minlength=people)
    searches_of = np.bincount(person, minlength=people)
    with np.errstate(invalid="ignore"):
        cell.replicates["rank1"] = (weights @ first) / (weights @ searches_of)
    rank1 = cell.figures["identification"]["cmc"][0]
    searching = int(np.count_nonzero(searches_of))
    cell.figures["identification"]["rank1_interval"] = rate_interval(rank1, cell.replicates["rank1"], searching)


def _add_pairs(cell: Measured, sides: Sides, plan: Plan) -> None:
    cell.figures["pairs"] = None
    if plan.pairs is None:
        return
    listed = plan.pairs.only(sides.seen[plan.pairs.rows[:, 1]])
    if len(listed.rows) == 0:
        return
    scores = listed_pairs(sides.probes, sides.gallery, listed.rows[:, ::-1])
    frozen = plan.pair_thresholds
    threshold = frozen.values[cell.system.key, cell.size_px] if frozen is not None else None
    cell.folds, figures, replicas = measure_pairs(scores, listed, sides.person, threshold, sides.weights)
    cell.figures["pairs"] = with_verification(figures, scores, listed.same, cell.threshold)
    if replicas is not None:
        cell.replicates["pairs"] = replicas


def _add_intervals(cell: Measured, replicas: IdentityBootstrap) -> None:
    verification = cell.figures["verification"]
    people = verification["interval_people"] = replicas.people
    for entry in verification["tar_at_far"]:
        values = replicas.tar_at_far(entry["target_far"])
        entry["interval"] = rate_interval(entry["tar"], values, replicas.mated) if entry["measurable"] else None
        if entry["measurable"]:
            cell.replicates[f"tar@far={entry['target_far']:g}"] = values
    cell.replicates["eer"] = replicas.eer()
    equal = verification["eer"]
    equal["interval"] = rate_interval(equal["value"], cell.replicates["eer"], replicas.mated)
    cell.replicates["fmr"], cell.replicates["fnmr"] = replicas.rates(cell.threshold)
    rates = verification["at_threshold"]
    for name, counted in (("fmr", people), ("fnmr", replicas.mated)):
        rates[f"{name}_interval"] = rate_interval(rates[name], cell.replicates[name], counted)
