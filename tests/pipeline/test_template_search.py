"""The shortlist finds what comparing everything finds."""

import numpy as np

from pipeline.recognition.template_search import TemplateIndex


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def test_a_shortlist_finds_the_same_person_with_the_same_score() -> None:
    draw = np.random.default_rng(0)
    templates = unit(draw.normal(size=(6000, 512)))
    exact, short = TemplateIndex(templates), TemplateIndex(templates, exhaustive=100)
    for row in draw.integers(0, 6000, 20):
        probe = unit(templates[row] + 1.5 * unit(draw.normal(size=512)))
        (best, *_), scores = short.best(probe, 2)
        assert best == row == exact.best(probe, 2)[0][0]
        np.testing.assert_allclose(scores[0], exact.best(probe, 2)[1][0], atol=1e-6)


def test_few_templates_give_few_answers() -> None:
    templates = unit(np.random.default_rng(0).normal(size=(1, 512)))
    assert len(TemplateIndex(templates).best(templates[0], 2)[0]) == 1
    assert len(TemplateIndex(templates[:0]).best(templates[0], 2)[0]) == 0
