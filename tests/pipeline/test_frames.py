import csv
import json

import numpy as np
import pytest

from metrics.verification import tar_at_far
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.evaluation.centring import centre_of, take_away
from pipeline.evaluation.frames import measure_frames, sets_of
from pipeline.evaluation.fusing import Seen, ways_of
from pipeline.evaluation.protocols import ImageSets
from pipeline.evaluation.systems import SYSTEMS
from pipeline.recognition.fusion import unit

PEOPLE, IMAGES, WIDTH = 60, 6, 64
SIZES = (6, 8, 16)
SYSTEM = next(system for system in SYSTEMS if system.key == "bicubic")


def measured_of(seen, sizes, *rest, **more):
    """Measure embeddings by size, of which 112 px enrol."""
    cells = {("bicubic", size): seen[size] for size in sizes} | {("hr", 112): seen[112]}
    return measure_frames(SYSTEM, cells, *rest, **more)


def blurry_world(seed):
    """People seen at three sizes: the smaller, the more noise, and the nearer to one centre."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(PEOPLE), IMAGES)
    faces, common = unit(draw.normal(size=(PEOPLE, WIDTH)))[who], unit(draw.normal(size=(3, WIDTH)))
    seen = {}
    for number, (size, noise) in enumerate(zip((*SIZES, 112), (0.8, 0.6, 0.3, 0.03), strict=True)):
        blur = draw.uniform(0, 2.5 if size < 112 else 0.2, (len(who), 1)) * common[min(number, 2)]
        seen[size] = unit((faces + noise * draw.normal(size=faces.shape) + blur).astype(np.float32))
    return who, seen


def measured(centred=True, replicates=0):
    who, seen = blurry_world(0)
    sets = sets_of(who, [f"p{n}" for n in range(PEOPLE)])
    centres = {size: centre_of(values) for size, values in seen.items()} if centred else None
    rows = measured_of(seen, SIZES, who, sets, replicates, centres=centres)
    return {(row["size"], row["frames"], row["way"]): row for row in rows}


def first_tar(row):
    return row["tar"][0]["tar"]


def test_more_frames_say_more_and_fusion_the_most():
    found = measured()
    assert {key[1] for key in found} == {1, 2, 5}  # five images are in each set
    for size in (*SIZES, "mixed"):
        five = {way: first_tar(row) for (at, frames, way), row in found.items() if (at, frames) == (size, 5)}
        assert five["fused"] > five["one frame"] + 0.1 and five["fused, centred"] > five["one frame, centred"] + 0.1
        assert five["fused, centred"] > five["fused"]
    mixed = {way: first_tar(row) for (at, frames, way), row in found.items() if (at, frames) == ("mixed", 5)}
    assert mixed["fused"] > mixed["plain mean"] and mixed["fused"] > mixed["majority vote"]


def test_the_plain_mean_agrees_with_a_naive_count():
    who, seen = blurry_world(1)
    last_two = np.flatnonzero(np.arange(len(who)) % IMAGES >= IMAGES - 2)
    sets = ImageSets(["a"] * PEOPLE, last_two, np.repeat(np.arange(PEOPLE), 2), np.arange(PEOPLE))
    rows = measured_of(seen, (8,), who, sets)
    row = next(row for row in rows if (row["frames"], row["way"]) == (2, "plain mean"))
    genuine, impostor, right = [], [], 0
    templates = [unit(seen[112][IMAGES * n : IMAGES * n + IMAGES - 2].mean(0)) for n in range(PEOPLE)]
    for person in range(PEOPLE):
        probe = unit(seen[8][IMAGES * person + IMAGES - 2 : IMAGES * person + IMAGES].sum(0))
        scores = [float(probe @ template) for template in templates]
        right += max(scores) == scores[person]
        genuine.append(scores.pop(person))
        impostor += scores
    assert row["rank1"] == pytest.approx(right / PEOPLE) and row["people"] == PEOPLE and row["probes"] == 2 * PEOPLE
    assert first_tar(row) == pytest.approx(tar_at_far(np.array(genuine), np.array(impostor), 1e-2).tar)
    assert row["gain"] is not None and rows[0]["gain"] is None


def test_a_vote_counts_frames_and_accepts_by_more_than_half_of_them():
    templates = np.eye(3, dtype=np.float32)
    frames = unit(np.array([[[0.9, 0.1, 0], [0.8, 0.1, 0], [0, 0.2, 1]]], np.float32))
    verify, rank = ways_of(None)["majority vote"](Seen(frames, np.full((1, 3), 8)), templates)
    assert rank[0].argmax() == 0 and np.floor(rank[0] + 0.5).astype(int).tolist() == [2, 0, 1]
    assert verify[0, 0] == np.sort(frames[0] @ templates[0])[1]  # two of three frames reach it


def test_people_without_an_enrolled_image_or_a_readable_frame_are_left_out():
    who, seen = blurry_world(2)
    every = np.arange(IMAGES)  # of the first person: nothing is left to enrol
    sets = ImageSets(["a", "b"], np.append(every, [7, 8]), np.repeat([0, 1], [IMAGES, 2]), np.array([0, 1]))
    rows = measured_of(seen, (8,), who, sets)
    assert {row["people"] for row in rows} == {1}
    seen[8][7:9] = np.nan
    assert measured_of(seen, (8,), who, sets) == []


def test_intervals_hold_their_figures_and_gains_are_paired():
    found = measured(replicates=50)
    for row in found.values():
        for entry in row["tar"]:
            if entry["tar"] not in (None, 0, 1):
                assert entry["interval"][0] <= entry["tar"] <= entry["interval"][1]
    gain = found[8, 5, "fused"]["gain"]
    assert gain["difference"] == pytest.approx(first_tar(found[8, 5, "fused"]) - first_tar(found[8, 5, "one frame"]))
    assert gain["interval"][0] > 0


def test_a_centre_is_the_mean_of_what_could_be_read_and_is_taken_from_faces_of_its_size_alone():
    with_a_failure = np.array([[1, 0], [0, 1], [np.nan, np.nan]], np.float32)
    np.testing.assert_allclose(centre_of(with_a_failure), [0.5, 0.5])
    centres = {8: np.array([0.5, 0.5], np.float32), 16: np.zeros(2, np.float32)}
    left = take_away(centres, np.ones((2, 2), np.float32), np.array([8, 16]))
    np.testing.assert_allclose(left, [[0.5, 0.5], [1, 1]])


def test_nobody_enrolled_makes_no_rows():
    faces = unit(np.ones((3, 4), np.float32))
    seen = {8: faces, 112: faces}
    sets = ImageSets(["a"], np.arange(3), np.zeros(3, np.int64), np.zeros(1, np.int64))
    assert measured_of(seen, (8,), np.zeros(3, np.int64), sets) == []


@pytest.mark.parametrize("how", ["auto", "sets.csv"])
def test_evaluations_with_sets_say_what_frames_are_worth(chain, tmp_path, run, arguments, how):
    if how == "sets.csv":
        lines = ["set,image", *(f"{name},{name}/{number}" for name in ("Eve", "Gil") for number in (1, 2))]
        (tmp_path / how).write_text("\n".join(lines))
        how = tmp_path / how
    more = ["--sets", how, "--systems", "bicubic", "--bootstrap", "10"]
    assert run(evaluate_main, arguments(chain, tmp_path / "out", *more)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    ways = {(row["size"], row["way"]) for row in report["frames"]}
    assert {(8, "one frame"), (16, "fused, centred"), ("mixed", "majority vote")} <= ways
    rows = list(csv.DictReader((tmp_path / "out" / "frames.csv").read_text().splitlines()))
    assert len(rows) == len(report["frames"]) and {row["frames"] for row in rows} <= {"1", "2"}
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "## Several frames" in summary and "more independent than the frames of a video" in summary
