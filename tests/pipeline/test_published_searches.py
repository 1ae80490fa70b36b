"""`--protocol tinyface`, `survface` and `scface`: searches and pairs, from the files to the report."""

import numpy as np
import pytest

from tests.pipeline.published_layouts import build_scface, build_survface, build_tinyface, face, naive_folds, size_of

pytest.importorskip("scipy.io", reason="needs scipy, which comes with scikit-learn")

AS_CROPS = ("--crops", "--native-size", "file")
BANDS = {
    "up to 8 px": (0, 8),
    "9 to 12 px": (9, 12),
    "13 to 16 px": (13, 16),
    "17 to 24 px": (17, 24),
    "25 to 32 px": (25, 32),
    "33 to 64 px": (33, 64),
    "over 64 px": (65, 999),
}


@pytest.fixture(scope="module")
def of(embedded):
    """(N, 512) of (person, photo) at the sizes that the builders give them."""
    return lambda photos: np.array([embedded(face(person, photo, size_of(person, photo))) for person, photo in photos])


def by_group(report, title):
    return {row["group"]: row for row in report["results"] if row["trial"].startswith(title)}


def in_band(name, sizes):
    low, high = BANDS[name]
    return (np.array(sizes) >= low) & (np.array(sizes) <= high)


def walk(line, is_mate):
    """First rank, and the area under precision over recall by trapezoids, as TinyFace's own evaluation walks."""
    order = np.argsort(-line, kind="stable")
    seen, area, recall, before, first = 0, 0.0, 0.0, 1.0, None
    for place, mate in enumerate(is_mate[order], 1):
        seen += mate
        first = place if mate and first is None else first
        precision = seen / place
        area += (seen / is_mate.sum() - recall) * (before + precision) / 2
        recall, before = seen / is_mate.sum(), precision
    return first, area


@pytest.mark.parametrize(
    ("lists", "suffix"), [("Testing_Set", "jpg"), ("Face_Identification_Evaluation", "png"), ("", "jpg")]
)
def test_tinyface_ranks_every_image_of_the_gallery_and_its_distractors(evaluate, of, tmp_path, lists, suffix):
    gallery, probes, strangers = build_tinyface(tmp_path / "tinyface", lists=lists, suffix=suffix)
    report = evaluate("tinyface", tmp_path / "tinyface", tmp_path / "out", *AS_CROPS)
    enrolled = [*gallery, *strangers]
    scores, person = of(probes) @ of(enrolled).T, np.array([who for who, _ in enrolled])
    walks = [walk(line, person == who) for line, (who, _) in zip(scores, probes, strict=True)]
    first, area = np.array(walks).T
    sizes = [size_of(*probe) for probe in probes]
    rows = by_group(report, "Searches")
    assert {"17 to 24 px", "33 to 64 px"} < set(rows)
    for group, row in rows.items():
        chosen = np.ones(len(probes), bool) if group == "all" else in_band(group, sizes)
        assert row["count"] == chosen.sum()
        for rank in (1, 5, 20):
            assert row[f"rank{rank}"] == pytest.approx((first[chosen] <= rank).mean())
        assert row["map"] == pytest.approx(area[chosen].mean())
    assert sum("153,428 were published" in note for note in report["notes"]) == 1


def test_survface_pairs_have_rates_an_area_and_an_accuracy_of_ten_parts(evaluate, of, tmp_path):
    pairs, *_ = build_survface(tmp_path / "survface")
    report = evaluate("survface", tmp_path / "survface", tmp_path / "out", *AS_CROPS)
    scores = [
        np.einsum("pd,pd->p", of([one for one, _ in each]), of([other for _, other in each])) for each in pairs.values()
    ]
    genuine, impostor = scores
    rows = by_group(report, "Pairs")
    for far in (0.3, 0.1, 0.01, 0.001):
        accepted = int(far * len(impostor) + 1e-9)
        fitting = [t for t in np.concatenate(scores) if (impostor >= t).sum() <= accepted]
        expected = (genuine >= min(fitting)).mean() if accepted else None
        assert rows["all"][f"tar@far={far:g}"] == (pytest.approx(expected) if accepted else None)
    above = (genuine[:, None] > impostor).mean() + (genuine[:, None] == impostor).mean() / 2
    assert rows["all"]["auc"] == pytest.approx(above)
    both, count = np.concatenate(scores), len(genuine)
    parts = [np.concatenate([part, part + count]) for part in np.array_split(np.arange(count), 10)]
    accuracies = naive_folds(both, np.arange(2 * count) < count, parts)
    assert rows["all"]["folds"] == pytest.approx(accuracies)
    assert rows["all"]["accuracy"] == pytest.approx(np.mean(accuracies))


def test_survface_finds_people_of_a_watch_list_at_the_rate_of_strangers(evaluate, of, tmp_path):
    _, gallery, mated, strangers = build_survface(tmp_path / "survface")
    report = evaluate("survface", tmp_path / "survface" / "Face_Identification_Test_Set", tmp_path / "out", *AS_CROPS)
    people = sorted({who for who, _ in gallery})
    means = [of([each for each in gallery if each[0] == who]).mean(axis=0) for who in people]
    templates = np.array([mean / np.linalg.norm(mean) for mean in means])
    top = (of(strangers) @ templates.T).max(axis=1)
    scores = of(mated) @ templates.T
    own = np.array([scores[row, people.index(who)] for row, (who, _) in enumerate(mated)])
    rank = np.array([(scores[row] >= own[row]).sum() for row in range(len(mated))])
    sizes = [size_of(*probe) for probe in mated]
    rows = by_group(report, "Watch list")
    assert set(rows) > {"all"}
    for fpir in (0.3, 0.2, 0.1, 0.01):
        accepted = int(fpir * len(top) + 1e-9)
        fitting = [t for t in np.concatenate([top, own]) if (top >= t).sum() <= accepted]
        for group, row in rows.items():
            chosen = np.ones(len(mated), bool) if group == "all" else in_band(group, sizes)
            expected = ((own >= min(fitting)) & (rank <= 20))[chosen].mean() if accepted else None
            assert row[f"tpir20@fpir={fpir:g}"] == (pytest.approx(expected) if accepted else None)
    assert rows["all"]["auc"] == pytest.approx((own[:, None] > top).mean())
    assert any("Face_Verification_Test_Set is not there" in note for note in report["notes"])


def test_a_mate_behind_rank_20_is_not_found_at_any_threshold():
    from pipeline.published.published_set import Sides
    from pipeline.published.search_trials import WatchListTrial

    draw = np.random.default_rng(0)
    faces = draw.normal(size=(200, 4)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    people = np.arange(100)
    trial = WatchListTrial("", people, people, np.arange(100, 200), np.concatenate([people[:60], [-1] * 40]), (1.0,))
    sizes = np.full(200, 20)
    (row,) = trial.measure(Sides(faces, faces, sizes, sizes))
    scores = faces[100:160] @ faces[:100].T
    rank = (scores >= np.diag(scores)[:, None]).sum(axis=1)
    assert row["tpir20@fpir=1"] == pytest.approx((rank <= 20).mean()) and 0 < (rank <= 20).mean() < 1


def test_scface_is_searched_by_distance_and_by_camera(evaluate, embedded, tmp_path):
    side = build_scface(tmp_path / "scface")
    report = evaluate("scface", tmp_path / "scface", tmp_path / "out", *AS_CROPS)
    mugshots = np.array([embedded(face(person, 99)) for person in range(5)])
    rows = by_group(report, "Searches")
    found = {}
    for distance, pixels in side.items():
        for camera in range(1, 6):
            probes = [embedded(face(person, 10 * distance + camera, pixels)) for person in range(5)]
            found[distance, camera] = (np.array(probes) @ mugshots.T).argmax(axis=1) == np.arange(5)
    for number, length in ((1, "4.20 m"), (2, "2.60 m"), (3, "1.00 m")):
        cameras = [found[number, camera] for camera in range(1, 6)]
        assert rows[length]["rank1"] == pytest.approx(np.mean(cameras)) and rows[length]["count"] == 25
        for camera, each in enumerate(cameras, 1):
            assert rows[f"{length}, camera {camera}"]["rank1"] == pytest.approx(each.mean())
    assert rows["all"]["rank1"] == pytest.approx(np.mean(list(found.values()))) and rows["all"]["count"] == 75
    assert report["native_px"] == {"13 to 16 px": 25, "25 to 32 px": 25, "33 to 64 px": 25, "over 64 px": 5}


def test_a_tinyface_without_a_folder_an_image_or_a_person_is_refused(evaluate, tmp_path, capsys):
    root = tmp_path / "tinyface"
    build_tinyface(root)
    (root / "Testing_Set" / "Probe" / "3_cam1_5.jpg").unlink()
    evaluate("tinyface", root, tmp_path / "out", code=2)
    assert "1 of 16 images listed are not there, the first is '3_cam1_5.jpg'" in capsys.readouterr().err
    (root / "Testing_Set" / "probe_img_ID_pairs.mat").write_bytes(b"no list at all" * 20)
    evaluate("tinyface", root, tmp_path / "out", code=2)
    assert "probe_img_ID_pairs.mat: no MAT-file of version 5" in capsys.readouterr().err
    (root / "Testing_Set" / "probe_img_ID_pairs.mat").unlink()
    (root / "Testing_Set" / "Probe" / "0_cam1_5.jpg").rename(root / "Testing_Set" / "Probe" / "somebody.jpg")
    evaluate("tinyface", root, tmp_path / "out", code=2)
    assert "'Testing_Set/Probe/somebody.jpg' does not begin with the number of a person" in capsys.readouterr().err
    evaluate("tinyface", root / "Testing_Set" / "Probe", tmp_path / "out", code=2)
    assert "no folder Gallery_Match in it" in capsys.readouterr().err


def test_other_folders_are_refused(evaluate, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    evaluate("survface", tmp_path / "empty", tmp_path / "out", code=2)
    assert "neither Face_Verification_Test_Set nor Face_Identification_Test_Set" in capsys.readouterr().err
    build_scface(tmp_path / "scface", people=1)
    (tmp_path / "scface" / "mugshot_frontal_cropped_all" / "001_frontal.JPG").rename(tmp_path / "scface" / "x.jpg")
    evaluate("scface", tmp_path / "scface", tmp_path / "out", code=2)
    assert "0 mugshots (001_frontal.jpg) and 15 images of cameras" in capsys.readouterr().err
