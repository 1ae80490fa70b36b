import numpy as np
import pytest

from metrics.comparisons import FAILED_SCORE
from metrics.verification import d_prime
from pipeline.evaluation.measures import verification_figures


@pytest.fixture
def scores():
    draw = np.random.default_rng(0)
    return draw.normal(0.6, 0.1, 200).astype(np.float32), draw.normal(0.1, 0.1, 900).astype(np.float32)


def test_unreadable_faces_count_as_errors_and_distort_no_mean(scores):
    sound = verification_figures(*scores, 0.35)
    failed = [np.append(side, np.full(50, FAILED_SCORE, np.float32)) for side in scores]
    found = verification_figures(*failed, 0.35)
    assert found["d_prime"] == pytest.approx(d_prime(*scores)) == sound["d_prime"]
    assert (found["genuine_mean"], found["impostor_mean"]) == (sound["genuine_mean"], sound["impostor_mean"])
    errors = [figures["at_threshold"]["false_non_matches"] for figures in (sound, found)]
    assert errors[1] == errors[0] + 50 and found["genuines"] == 250


def test_comparisons_that_all_failed_have_no_mean(scores):
    found = verification_figures(np.full(3, FAILED_SCORE, np.float32), scores[1], 0.35)
    assert found["d_prime"] is found["genuine_mean"] is None and found["impostor_mean"] == pytest.approx(0.1, abs=0.02)
