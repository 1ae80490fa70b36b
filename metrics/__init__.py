"""Figures of score sets: verification, identification, folds, intervals, searches. NumPy only.

The ideas stand in files of their own: `verification` (1:1), `folds` (LFW's accuracy), `identification` (1:N),
`retrieval` (1:N among images), `templates` (sets of images), `bootstrap` (intervals and paired differences).
"""

from metrics.folds import FoldAccuracy, best_threshold, fold_accuracy
from metrics.identification import OpenSetRates, Searches, cmc, fnir_at_fpir, open_set, searches
from metrics.retrieval import Retrieval, average_precision, retrieve
from metrics.templates import media_templates
from metrics.verification import (
    DetectionCost,
    Eer,
    ErrorRates,
    Roc,
    ScoreError,
    TarAtFar,
    auc,
    best_accuracy,
    d_prime,
    detection_cost,
    eer,
    error_rates,
    roc,
    sort_scores,
    tar_at_far,
)

__all__ = [
    "DetectionCost",
    "Eer",
    "ErrorRates",
    "FoldAccuracy",
    "OpenSetRates",
    "Retrieval",
    "Roc",
    "ScoreError",
    "Searches",
    "TarAtFar",
    "auc",
    "average_precision",
    "best_accuracy",
    "best_threshold",
    "cmc",
    "d_prime",
    "detection_cost",
    "eer",
    "error_rates",
    "fnir_at_fpir",
    "fold_accuracy",
    "media_templates",
    "open_set",
    "retrieve",
    "roc",
    "searches",
    "sort_scores",
    "tar_at_far",
]
