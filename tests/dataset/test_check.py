import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset.check import main
from dataset.photographs.image_files import read_image, write_png
from dataset.synthesize import SynthesizeConfig, synthesize


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    synthesize(SynthesizeConfig(out=folder, people=6, photos=2, vlr_sizes="8,16"))
    return folder


@pytest.fixture
def data(made, tmp_path):
    return shutil.copytree(made, tmp_path / "set")


def run(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code, capsys.readouterr().out


def test_a_sound_data_set_has_no_problem_and_gets_a_contact_sheet(data, capsys):
    code, said = run(capsys, data)
    assert code == 0 and "train: 2 people" in said and "0 problems" in said
    assert read_image(data / "contact_sheet.png").shape == (9 * 112, 1120, 3)
    code, said = run(capsys, data, "--json", "--sheet", data / "other.png")
    result = json.loads(said)
    assert result["problems"] == [] and result["splits"]["val"]["vlr_images"] == {"8": 4, "16": 4}
    assert (data / "other.png").is_file()


def test_the_contact_sheet_of_a_data_set_that_is_only_read_goes_elsewhere(
    data, tmp_path, capsys, monkeypatch, only_read
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    only_read(data)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(data), "--json"])
    said = capsys.readouterr()
    sheet = json.loads(said.out)["contact_sheet"]
    assert ended.value.code == 0 and sheet.startswith(str(tmp_path / "cache")) and read_image(Path(sheet)).any()
    (line,) = said.err.splitlines()
    assert str(data) in line and "read-only file system" in line
    code, _ = run(capsys, data, "--sheet", data / "asked_for_here.png")
    assert code == 2


def first_image(data):
    return next(iter(sorted((data / "train_processed/hr_images").rglob("*.png"))))


def store_bit(data):
    path = data / "val_processed/faces.u8"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")


def index_byte(data):
    path = data / "val_processed/faces.index"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def same_person_twice(data):
    index = data / "val_processed/index.csv"
    person = (data / "train_processed/index.csv").read_text().splitlines()[1].split(",")[1]
    other = index.read_text().splitlines()[1].split(",")[1]
    index.write_text(index.read_text().replace(f",{other},", f",{person.upper()},"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: first_image(data).write_bytes(b"x"), "not an image"),
        (lambda data: write_png(first_image(data), np.zeros((50, 60, 3), np.uint8)), "60x50, expected 112x112"),
        (lambda data: write_png(first_image(data), np.zeros((112, 112, 3), np.uint8)), "differs from its row"),
        (lambda data: first_image(data).unlink(), "does not exist"),
        (store_bit, "faces.u8: damaged"),
        (
            lambda data: next((data / "test_processed/vlr_images/8px").rglob("*.png")).write_bytes(b"x"),
            "not an image",
        ),
        (
            lambda data: write_png(
                next((data / "test_processed/vlr_images/8px").rglob("*.png")), np.zeros((112, 112, 3), np.uint8)
            ),
            "112x112, expected 8x8",
        ),
        (same_person_twice, "by the store, which trainings and evaluations go by"),
        (index_byte, "faces.index: damaged, its checksum differs"),
        (lambda data: next((data / "test_processed/vlr_images/8px").rglob("*.png")).unlink(), "3 images of 8 px for 4"),
        (
            lambda data: write_png(data / "val_processed/vlr_images/8px/nobody/1.png", np.zeros((8, 8, 3), np.uint8)),
            "no hr_images/nobody/1",
        ),
        (same_person_twice, "1 people are in train and in val"),
    ],
)
def test_each_damage_is_found_and_named(data, capsys, damage, said):
    damage(data)
    code, out = run(capsys, data)
    assert said in out
    assert code == 1


def test_a_folder_without_splits_is_refused(tmp_path, capsys):
    code, _ = run(capsys, tmp_path)
    assert code == 2
