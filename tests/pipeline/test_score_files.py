"""Scores as bob and pyeer read them: read back by readers of their descriptions, and the figures compared."""

import json

import numpy as np
import pytest

from metrics.verification import auc, eer, error_rates, tar_at_far
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.reporting.score_files import Compared, escaped, write_scores
from tests.pipeline.published_layouts import build_xqlfw, pair_lists


def columns(path, count):
    """bob's reader: blanks part the columns, empty lines and those that begin with # are none."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    assert {len(row) for row in rows} == {count}
    return [(*row[:-1], float(row[-1])) for row in rows]


def last_columns(path):
    """pyeer's reader: the score is the last column of a line."""
    return np.array([float(line.split()[-1]) for line in path.read_text().splitlines()])


def parted(rows):
    """Genuine and impostor scores of (claimed, ..., real, label, score)."""
    claimed, real = [row[0] for row in rows], [row[-3] for row in rows]
    same, scores = np.array(claimed) == np.array(real), np.array([row[-1] for row in rows])
    return scores[same], scores[~same]


@pytest.fixture(scope="module")
def exported(chain, run, arguments):
    out = chain / "exported"
    more = ["--systems", "dsr,hr", "--sizes", "8", "--bootstrap", "0", "--export-scores", "bob4,bob5,pyeer"]
    assert run(evaluate_main, arguments(chain, out, *more)) == 0
    return out


def test_every_comparison_is_written_and_gives_the_figures_of_the_report(exported):
    report = json.loads((exported / "report.json").read_text())
    for entry, stem in zip(report["results"], ("dsr_8px", "hr_112px"), strict=True):
        found = entry["verification"]
        four, five = (columns(exported / "scores" / f"{stem}_bob{count}.txt", count) for count in (4, 5))
        assert [(row[0], *row[2:]) for row in five] == four
        pyeer = [last_columns(exported / "scores" / f"{stem}_{kind}.txt") for kind in ("genuine", "impostor")]
        for genuine, impostor in (parted(four), pyeer):
            assert (len(genuine), len(impostor)) == (found["genuines"], found["impostors"])
            assert auc(genuine, impostor) == pytest.approx(found["auc"], abs=1e-12)
            assert eer(genuine, impostor).value == pytest.approx(found["eer"]["value"], abs=1e-12)
            rates = error_rates(genuine, impostor, np.nextafter(np.float32(entry["threshold"]), np.float32(-1)))
            assert rates.false_matches == found["at_threshold"]["false_matches"]


def test_names_are_columns_and_the_same_photograph_is_not_compared(exported):
    rows = columns(exported / "scores" / "dsr_8px_bob5.txt", 5)
    assert all(model != probe for _, model, _, probe, _ in rows)
    assert {claimed for claimed, *_ in rows} >= {"Anna,%20the%20first", 'Bo%20"B"%20Berg', "Çelik%20Öz"}
    assert all(model.startswith(claimed) and probe.startswith(real) for claimed, model, real, probe, _ in rows)


def test_names_that_differ_stay_different():
    names = ["a b", "a_b", "a%20b", "a\tb", "#a", "%23a", "", "%", "a\u2003b", "Zoë"]
    written = [escaped(name) for name in names]
    assert len(set(written)) == len(names) and all(len(name.split()) == 1 and name[0] != "#" for name in written)


def test_a_score_is_read_back_to_the_last_bit(tmp_path):
    scores = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    names = ["one"] * 5000
    write_scores(tmp_path / "all", ("bob4", "pyeer"), [Compared(names, names, names, names, scores)])
    assert np.array_equal(last_columns(tmp_path / "all_genuine.txt").astype(np.float32), scores)
    assert (tmp_path / "all_impostor.txt").read_text() == ""


def test_pairs_of_a_published_set_are_written_too(evaluate, tmp_path):
    pairs = pair_lists(people=8, folds=10, each=1)
    root = build_xqlfw(tmp_path / "xqlfw", pairs, lambda photo: 20)
    report = evaluate("xqlfw", root, tmp_path / "out", "--crops", "--export-scores", "bob5")
    rows = columns(tmp_path / "out" / "scores" / "dsr+finetuned_native_size_bob5.txt", 5)
    genuine, impostor = parted(rows)
    assert report["results"][0]["genuine_mean"] == pytest.approx(genuine.mean())
    assert report["results"][0]["impostor_mean"] == pytest.approx(impostor.mean())
    (one, _), (other, _) = pairs[0][1:]
    first = rows[0]
    assert first[1].endswith(f"Person_{one:02d}_0001.jpg") and first[3].endswith(f"Person_{other:02d}_0002.jpg")


def test_the_score_set_of_the_documentation_has_the_figures_that_it_gives():
    genuine, impostor = np.array([0.2, 0.3, 0.7]), np.array([0.1, 0.3, 0.6, 0.8, 0.8])
    assert auc(genuine, impostor) == pytest.approx(0.3667, abs=1e-4)
    equal = eer(genuine, impostor)
    assert (equal.fmr, equal.fnmr, equal.value) == pytest.approx((0.6, 2 / 3, 0.6333), abs=1e-4)
    assert tar_at_far(genuine, impostor, 0.25).tar == 0
    summed = min((rates.fmr + rates.fnmr) / 2 for rates in (error_rates(genuine, impostor, t) for t in (0.3, 0.6)))
    assert summed == pytest.approx(0.5667, abs=1e-4)  # as pyeer defines it


@pytest.mark.parametrize("text", ["bob", "", "bob4,csv"])
def test_another_format_is_refused_before_the_work(text, chain, run, arguments, capsys):
    assert run(evaluate_main, arguments(chain, chain / "none", "--export-scores", text)) == 2
    assert "give bob4, bob5, pyeer, or several of them joined by commas" in capsys.readouterr().err
