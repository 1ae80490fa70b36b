"""Names in lists, galleries and embeddings are those of the faces in both forms of their letters (NFC and NFD)."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.image_files import read_image
from dsr.upscale import main as upscale_main
from pipeline.compare import main as compare_main
from pipeline.evaluation.faces import EvaluationDataError, open_other_split, open_split
from pipeline.evaluation.protocols import read_image_list, read_image_sets, read_pair_list
from pipeline.recognition.gallery_store import EMBEDDING_SIZE, Gallery

FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


def in_form(form, text):
    return unicodedata.normalize(form, text)


def loose(root, form, people=("Zoë", "Bo")):
    """A split of images alone, two of each person, and their copies of 16 px in the other form."""
    for number in range(4):
        name = f"{people[number // 2]}/é{number}.png"
        coarse = Image.fromarray(np.random.default_rng(number).integers(0, 256, (7, 7, 3), np.uint8))
        for place, side, written in (
            ("hr_images", 112, form),
            ("vlr_images/16px", 16, "NFC" if form == "NFD" else "NFD"),
        ):
            path = root / place / in_form(written, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return root


@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_lists_of_images_pairs_and_sets_name_faces_of_the_other_form(tmp_path, disk, lists):
    split = open_split(loose(tmp_path / "split", disk))
    written = {
        "gallery.txt": "Zoë/é0.png\nBo/é2\n",
        "pairs.csv": "first,second,same\nZoë/é0,Zoë/é1,1\nZoë/é0,Bo/é2,0\n",
        "sets.csv": "set,image\nAllé,Zoë/é0\nAllé,Zoë/é1\n",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(in_form(lists, text), encoding="utf-8")
    row = {key: number for number, key in enumerate(split.keys)}
    zoe, bo = row["Zoë/é0"], row["Bo/é2"]
    assert read_image_list(tmp_path / "gallery.txt", split.keys, tmp_path).tolist() == [zoe, bo]
    pairs = read_pair_list(tmp_path / "pairs.csv", split.keys, tmp_path)
    assert pairs.rows.tolist() == [[zoe, row["Zoë/é1"]], [zoe, bo]]
    sets = read_image_sets(tmp_path / "sets.csv", split.keys, split.person, tmp_path)
    assert sets.names == ["Allé"] and sets.rows.tolist() == [zoe, row["Zoë/é1"]]


@pytest.mark.parametrize(("disk", "other"), FORMS)
def test_a_split_finds_its_low_resolution_images_and_the_people_that_another_has_too(tmp_path, disk, other):
    split = open_split(loose(tmp_path / "one", disk))
    assert split.people == ["Bo", "Zoë"] and sorted(split.vlr_files[16]) == sorted(split.keys)
    assert all(face is not None for face in split.views(np.arange(4), 16))
    with pytest.raises(EvaluationDataError, match="1 of its people are in .*'Zoë'"):
        open_other_split(loose(tmp_path / "two", other, ("Zoë", "Cy")), split, "--distractors")


def test_images_that_differ_in_form_alone_are_refused(tmp_path):
    root = loose(tmp_path / "split", "NFC")
    twin = root / "hr_images" / in_form("NFD", "Zoë/é0.png")
    twin.parent.mkdir(exist_ok=True)
    shutil.copy(root / "hr_images/Zoë/é0.png", twin)
    shutil.rmtree(root / "vlr_images")
    with pytest.raises(EvaluationDataError, match="cannot be told apart by name"):
        open_split(root)


@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_embeddings_of_names_in_the_other_form_are_those_of_the_faces(tmp_path, run, disk, lists, capsys):
    root = loose(tmp_path / "split", disk)
    values = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    names = [in_form(lists, f"{person}/é{number}.png") for number, person in enumerate(["Zoë", "Zoë", "Bo", "Bo"])]
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", names=np.array(names), embeddings=values)
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    assert run(compare_main, [*files, "--dataset-root", root, "--out", tmp_path / "c", "--bootstrap", 5]) == 0
    assert "names are not in" not in capsys.readouterr().out


def test_a_gallery_holds_a_name_once_and_removes_it_in_every_form(tmp_path):
    path, units = tmp_path / "people.gallery", np.eye(EMBEDDING_SIZE, dtype=np.float32)
    Gallery.create(path, "m", 0.3)
    with Gallery.open(path) as gallery:
        for number, form in enumerate(("NFC", "NFD")):
            gallery.add(in_form(form, "Zoë"), units[number], f"{number}", 1.0, 112)
        assert [each.person for each in gallery.enrolments()] == ["Zoë", "Zoë"]
        assert gallery.remove(in_form("NFD", "Zoë")) == 2


def test_restored_faces_whose_names_differ_in_form_alone_do_not_replace_each_other(tmp_path, run):
    names = [in_form("NFC", "é.png"), in_form("NFD", "é.bmp")]
    for number, name in enumerate(names):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (number, 200, 9)).save(tmp_path / "in" / name)
    assert run(upscale_main, [tmp_path / "in", tmp_path / "out", "--device", "cpu"]) == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == sorted(f"{name}.png" for name in names) and read_image(tmp_path / "out" / made[0]).shape == (
        112,
        112,
        3,
    )
