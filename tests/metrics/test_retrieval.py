import numpy as np
import pytest

from metrics.retrieval import average_precision, retrieve
from metrics.verification import ScoreError


def people(seed, probes=40, gallery=60, distractors=100, dim=8):
    draw = np.random.default_rng(seed)
    gallery_person = np.concatenate([np.arange(20), draw.integers(0, 20, gallery - 20), np.full(distractors, -100)])
    probe_person = draw.integers(0, 20, probes)
    centres = draw.normal(size=(20, dim))
    faces = [draw.normal(size=(len(gallery_person), dim)), draw.normal(size=(probes, dim))]
    faces[0][gallery_person >= 0] += centres[gallery_person[gallery_person >= 0]]
    faces[1] += centres[probe_person]
    shuffled = draw.permutation(len(gallery_person))
    unit = [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in faces]
    return unit[1], unit[0][shuffled], probe_person, gallery_person[shuffled]


def walked(ranked_as_mate):
    """TinyFace's way, place after place: the area under precision over recall, by trapezoids."""
    mates, seen, area, last_recall, last_precision, first = sum(ranked_as_mate), 0, 0.0, 0.0, 1.0, None
    for place, mate in enumerate(ranked_as_mate, 1):
        seen += mate
        first = place if first is None and mate else first
        recall, precision = seen / mates, seen / place
        area += (recall - last_recall) * (last_precision + precision) / 2
        last_recall, last_precision = recall, precision
    return first, area


def test_ranks_and_average_precision_are_those_of_a_walk_down_the_list():
    for seed in range(5):
        probes, gallery, probe_person, gallery_person = people(seed)
        found = retrieve(probes, gallery, probe_person, gallery_person)
        for row, face in enumerate(probes):
            order = np.argsort(-(gallery @ face), kind="stable")
            first, area = walked((gallery_person[order] == probe_person[row]).tolist())
            assert found.first[row] == first
            assert found.precision[row] == pytest.approx(area, abs=1e-12)


def test_a_stranger_with_the_score_of_a_mate_stands_before_it():
    face = np.array([[1.0, 0.0]], np.float32)
    gallery = np.array([[0.8, 0.6], [0.8, 0.6], [0.0, 1.0], [0.8, 0.6]], np.float32)
    found = retrieve(face, gallery, np.array([1]), np.array([-100, 1, 1, 1]))
    assert found.first[0] == 2
    assert found.precision[0] == pytest.approx(average_precision(np.array([2, 3, 4])))


def test_a_probe_that_could_not_be_read_finds_its_mates_last():
    face = np.full((1, 2), np.nan, np.float32)
    gallery = np.array([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]], np.float32)
    assert retrieve(face, gallery, np.array([1]), np.array([1, 2, 3])).first[0] == 3


def test_a_probe_without_a_mate_is_refused():
    with pytest.raises(ScoreError, match="1 probes have no image in the gallery"):
        retrieve(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), np.array([1, 7]), np.array([1, 2]))
