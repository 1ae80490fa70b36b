import json
from dataclasses import replace

import pytest

from pipeline.choose_threshold import main as choose_main
from pipeline.deployment.deployed_networks import load_deployed
from pipeline.recognition.threshold_option import threshold_at, threshold_option
from pipeline.threshold_file import ThresholdError, ThresholdFile, read_threshold, write_threshold


class Recogniser:
    def __init__(self, **hashes):
        self.hashes = hashes


CHOSEN = ThresholdFile(
    0.3, {8: 0.25, 16: 0.28, 112: 0.31}, "far=1e-3", "dsr", {}, {"edgeface": "e", "dsr": "d"}, {"people": 5}, {}
)


@pytest.fixture
def file(tmp_path):
    write_threshold(tmp_path / "t.json", CHOSEN)
    return f"@{tmp_path / 't.json'}"


def test_a_number_is_taken_within_its_range():
    assert threshold_option("0.35", Recogniser(), False) == 0.35 and threshold_at(0.35, 16) == 0.35
    for wrong in ("2", "nan", "many", "far=1e-3"):
        with pytest.raises(ThresholdError, match=r"number in \[-1, 1\] or @FILE"):
            threshold_option(wrong, Recogniser(), False)


def test_a_file_gives_the_threshold_of_the_next_smaller_size(file):
    chosen = threshold_option(file, Recogniser(edgeface="e", edgeface_small="e", dsr="d"), False)
    expected = {6: 0.3, 8: 0.25, 15: 0.25, 16: 0.28, 32: 0.28, 33: 0.31, 111: 0.31, 112: 0.31, 300: 0.31}
    assert {size: threshold_at(chosen, size) for size in expected} == expected
    assert threshold_at(replace(chosen, by_size={}), 16) == 0.3
    assert threshold_at(replace(chosen, by_size={8: 0.25, 16: 0.28}), 40) == 0.28


def test_the_threshold_of_photographs_of_any_resolution_is_nobody_elses():
    chosen = replace(CHOSEN, by_size={0: 0.2, 8: 0.25})
    assert [chosen.at(size) for size in (0, 6, 7, 8)] == [0.2, 0.3, 0.3, 0.25]


def test_a_file_chosen_without_mirror_images_is_refused_and_an_older_one_had_them(tmp_path):
    path, recogniser = tmp_path / "t.json", Recogniser(edgeface="e", dsr="d")
    write_threshold(path, replace(CHOSEN, flip=False))
    with pytest.raises(ThresholdError, match="without mirror images.*--any-system"):
        threshold_option(f"@{path}", recogniser, False)
    assert not threshold_option(f"@{path}", recogniser, True).flip
    values = json.loads(path.read_text())
    del values["flip"]
    path.write_text(json.dumps(values))
    assert threshold_option(f"@{path}", recogniser, False).flip
    path.write_text(json.dumps({**values, "flip": "yes"}))
    with pytest.raises(ThresholdError, match="not a threshold file"):
        read_threshold(path)


@pytest.mark.parametrize(
    "hashes",
    [
        {"edgeface": "e"},
        {"edgeface": "e", "dsr": "x"},
        {"edgeface": "x", "dsr": "d"},
        {"edgeface": "e", "dsr": "d", "adapter": "a"},
        {"edgeface": "e", "dsr": "d", "edgeface_small": "f"},
    ],
)
def test_a_file_of_another_system_is_refused_unless_told(file, hashes):
    with pytest.raises(ThresholdError, match="differs here.*--any-system"):
        threshold_option(file, Recogniser(**hashes), False)
    assert threshold_option(file, Recogniser(**hashes), True) == CHOSEN


def test_a_chosen_threshold_fits_the_recogniser_made_of_the_same_files(chain, tmp_path, run):
    out, system = tmp_path / "t.json", "dsr+finetuned"
    networks = [
        "--edgeface",
        chain / "original.pth",
        "--dsr",
        chain / "dsr.pth",
        "--finetuned",
        chain / "finetuned.pth",
    ]
    places = [chain / "val_processed", "--cache", chain / "cache", "--device", "cpu", "--sizes", "8,16", "--out", out]
    assert run(choose_main, [*places, *networks, "--system", system, "--target", "far=0.05", "--bootstrap", "0"]) == 0
    made = load_deployed(str(chain / "original.pth"), chain / "dsr.pth", True, chain / "finetuned.pth", "none")
    chosen = threshold_option(f"@{out}", Recogniser(**made.hashes), False)
    assert isinstance(chosen, ThresholdFile) and chosen == read_threshold(out)
    other = load_deployed(str(chain / "original.pth"), chain / "dsr.pth", True, None, "none")
    with pytest.raises(ThresholdError, match="edgeface_small"):
        threshold_option(f"@{out}", Recogniser(**other.hashes), False)
    assert json.loads(out.read_text())["schema"].endswith("/2")
