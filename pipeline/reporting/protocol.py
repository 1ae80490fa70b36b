"""The protocol of an evaluation in words and numbers, as its report states it."""

from typing import Any

import numpy as np

from metrics.resampling import MOST_COMPARED
from pipeline.evaluation.evaluate import Plan
from pipeline.evaluation.measures import FARS

_INTERVAL = "95 %, people resampled, threshold recomputed in each replicate; those of listed pairs stay as chosen"


def protocol_of(plan: Plan, with_unseen: bool) -> dict[str, Any]:
    """Return the protocol in words and numbers, for the report."""
    return {
        "all_pairs": "every HR gallery face against every probe, the same photograph left out",
        "gallery": "HR faces embedded by the original EdgeFace, so that an enrolled gallery stays valid"
        + ("; rows of the unseen recogniser have a gallery of their own" if with_unseen else ""),
        "probes": "faces at each input size, embedded by the system under test",
        "searches": plan.searches.note if plan.searches else None,
        "searches_sha256": plan.searches.sha256(plan.sets) if plan.searches else None,
        "pairs": plan.pairs.source if plan.pairs else None,
        "pairs_threshold": _pairs_judged_by(plan),
        "pairs_repeated": plan.pairs.repeated if plan.pairs else 0,
        "pairs_contradicting": plan.pairs.contradicting if plan.pairs else 0,
        "far_targets": list(FARS),
        "replicates": plan.replicates,
        "seed": plan.seed,
        "interval": _INTERVAL if plan.replicates else None,
        "most_comparisons_resampled": MOST_COMPARED,
        "failures": "a comparison with an unreadable face is rejected at every threshold",
    }


def _pairs_judged_by(plan: Plan) -> str | None:
    if plan.pairs is None:
        return None
    if plan.pair_thresholds is not None:
        return plan.pair_thresholds.origin
    if len(np.unique(plan.pairs.folds)) > 1:
        return "each fold by the threshold that is the most accurate on the other folds"
    if len(np.unique(plan.pairs.parts)) > 1:
        return "the list has one fold: ten parts, each by the threshold that is the most accurate on the other nine"
    return "too few pairs to choose on: the best threshold in hindsight, which flatters"
