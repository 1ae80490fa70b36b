"""What an evaluation says about one system at one input size, as plain JSON values."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.comparisons import mean_templates, readable
from metrics.faiss_search import Check, search_by_faiss
from metrics.identification import Searches, cmc, fnir_at_fpir, open_set
from metrics.streamed_search import stream_searches
from metrics.verification import (
    Array,
    auc,
    best_accuracy,
    d_prime,
    detection_cost,
    eer,
    error_rates,
    sort_both,
    tar_at_far,
)
from pipeline.evaluation.protocols import SearchPlan

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
FPIRS = (0.1, 0.01)
DEEPEST_RANK = 20
COST_PRIOR = 0.01

Json = dict[str, Any]
Embeddings = NDArray[np.float32]


def verification_figures(genuine: Array, impostor: Array, threshold: float) -> Json:
    """Return every 1:1 figure of a set of comparisons; means and d' of those that did not fail, if there are any."""
    genuine, impostor = sort_both(genuine, impostor)
    read = readable(genuine), readable(impostor)
    return {
        "genuines": len(genuine),
        "impostors": len(impostor),
        "auc": auc(genuine, impostor),
        "eer": asdict(eer(genuine, impostor)),
        "tar_at_far": [number_or_none(asdict(tar_at_far(genuine, impostor, far))) for far in FARS],
        "at_threshold": asdict(error_rates(genuine, impostor, threshold)),
        "best_accuracy": best_accuracy(genuine, impostor),
        "d_prime": finite(d_prime(*read)) if all(map(len, read)) else None,
        "min_cost": asdict(detection_cost(genuine, impostor, COST_PRIOR)),
        "cost_at_threshold": asdict(detection_cost(genuine, impostor, COST_PRIOR, threshold=threshold)),
        "genuine_mean": _mean(read[0]),
        "impostor_mean": _mean(read[1]),
    }


def _mean(scores: Array) -> float | None:
    return float(scores.mean(dtype=np.float64)) if len(scores) else None


def search_gallery(
    probes: Embeddings,
    gallery: Embeddings,
    person: NDArray[np.int64],
    plan: SearchPlan,
    strangers: Sequence[Embeddings] = (),
) -> tuple[Searches, NDArray[np.int64], Check | None]:
    """Search every probe of a plan in its gallery.

    Args:
        probes: (N, D) embeddings by the system under test.
        gallery: (N, D) embeddings by the system that enrolled.
        person: (N,) whose face each is.
        plan: Which rows are enrolled and which search.
        strangers: Further (M, D) templates that are enrolled, of people who do not search.

    Returns:
        The searches, the person of each mated one, and how far an index agreed with the exact search.
    """
    people, templates = mean_templates(gallery[plan.gallery], person[plan.gallery])
    searching = person[plan.probes]
    given = probes[plan.probes], searching, templates, people, strangers
    found, check = search_by_faiss(*given) if plan.by_faiss else (stream_searches(*given), None)
    return found, searching[np.isin(searching, people)], check


def identification_figures(found: Searches, threshold: float) -> Json:
    """Return every 1:N figure of a set of searches; open set only where there are non-mated ones."""
    depth = min(DEEPEST_RANK, found.gallery)
    figures: Json = {
        "gallery": found.gallery,
        "mated": len(found.mate),
        "non_mated": len(found.top),
        "cmc": cmc(found.rank, depth).tolist(),
        "at_threshold": None,
        "fnir_at_fpir": [],
    }
    if len(found.top):
        figures["at_threshold"] = asdict(open_set(found, threshold))
        for target in FPIRS:
            rates = fnir_at_fpir(found, target)
            figures["fnir_at_fpir"].append({"target_fpir": target, **(asdict(rates) if rates else {"fnir": None})})
    return figures


def finite(value: float) -> float | None:
    """Return the value, or None for what JSON cannot say."""
    return value if math.isfinite(value) else None


def number_or_none(values: Json) -> Json:
    """Replace NaN and infinity by None."""
    return {key: finite(value) if isinstance(value, float) else value for key, value in values.items()}
