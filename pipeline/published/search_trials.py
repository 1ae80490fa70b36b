"""Trials of identification: in a gallery that has everybody, and in a watch list that has some."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import mean_templates
from metrics.identification import cmc, fnir_at_fpir
from metrics.retrieval import Retrieval, retrieve
from metrics.streamed_search import stream_searches
from metrics.verification import auc
from pipeline.evaluation.measures import Json
from pipeline.published.published_set import ALL, Sides, split_by_size

Rows = NDArray[np.int64]
NOBODY = -1
"""Person of a face that is a distractor, or of an unmated probe."""


@dataclass(frozen=True)
class RetrievalTrial:
    """Searches in a gallery of images, in which every probe has a mate.

    Attributes:
        title: Who searches where.
        gallery: Rows of the gallery's images.
        gallery_person: Whose each is; `NOBODY` for distractors.
        probes: Rows of the probes.
        probe_person: Whose each is.
        ranks: Ranks that are told.
        mean_average_precision: Whether that is told as well.
        groups: Names and (P,) members of further rows, such as the probes of a camera.
    """

    title: str
    gallery: Rows
    gallery_person: Rows
    probes: Rows
    probe_person: Rows
    ranks: tuple[int, ...]
    mean_average_precision: bool = False
    groups: list[tuple[str, NDArray[np.bool_]]] = field(default_factory=list)

    def measure(self, sides: Sides) -> list[Json]:
        """Return the figures of all probes, of each group, and of each native size of the probe."""
        found = retrieve(sides.probes[self.probes], sides.gallery[self.gallery], self.probe_person, self.gallery_person)
        everybody = [(ALL, np.ones(len(self.probes), bool))]
        parts = [*everybody, *self.groups, *split_by_size(sides.probe_px[self.probes])]
        return [self._row(group, chosen, found) for group, chosen in parts]

    def _row(self, group: str, chosen: NDArray[np.bool_], found: Retrieval) -> Json:
        shares = cmc(found.first[chosen], max(self.ranks))
        figures = {f"rank{rank}": float(shares[rank - 1]) for rank in self.ranks}
        if self.mean_average_precision:
            figures["map"] = float(found.precision[chosen].mean())
        return {"group": group, "count": int(chosen.sum()), **figures}


@dataclass(frozen=True)
class WatchListTrial:
    """Searches in a watch list: mated probes should find their person, unmated ones nobody.

    Several images of a person make one template, the mean.

    Attributes:
        title: Who searches where.
        gallery: Rows of the gallery's images.
        gallery_person: Whose each is.
        probes: Rows of the probes.
        probe_person: Whose each is; `NOBODY` where they are in no gallery.
        fpirs: False positive identification rates.
        rank: Within which the mate must be.
    """

    title: str
    gallery: Rows
    gallery_person: Rows
    probes: Rows
    probe_person: Rows
    fpirs: tuple[float, ...]
    rank: int = 20

    def measure(self, sides: Sides) -> list[Json]:
        """Return the figures of all searches, and by native size of the mated probe, at the thresholds of all."""
        people, templates = mean_templates(sides.gallery[self.gallery], self.gallery_person)
        found = stream_searches(sides.probes[self.probes], self.probe_person, templates, people)
        within = found.rank <= self.rank
        mated = np.isin(self.probe_person, people)
        rates = {fpir: fnir_at_fpir(found, fpir, self.rank) for fpir in self.fpirs}

        def row(group: str, chosen: NDArray[np.bool_]) -> Json:
            figures: Json = {"group": group, "count": int(chosen.sum())}
            for fpir, at in rates.items():
                hit = within & (found.mate >= at.threshold) if at is not None else within
                figures[f"tpir{self.rank}@fpir={fpir:g}"] = float(hit[chosen].mean()) if at is not None else None
            missed = np.where(within, found.mate, np.float32(-3))  # below all scores: found at no threshold
            figures["auc"] = auc(missed[chosen], found.top)
            return figures

        split = split_by_size(sides.probe_px[self.probes][mated])
        return [row(ALL, np.ones(len(found.mate), bool)), *(row(name, chosen) for name, chosen in split)]
