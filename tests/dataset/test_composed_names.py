"""Letters have two forms, composed (NFC) and decomposed (NFD, as macOS writes them): a name is one in both."""

import csv
import os
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.check import main as check_main
from dataset.formats.recognise import AUTO, open_source
from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.intake import POINTS
from dataset.photographs.layout import SPLITS, Face, split_folder, vlr_images
from dataset.photographs.photograph_folders import paths_as_spelled
from dataset.prepare import main as prepare_main
from dataset.store import FaceStore
from engine.text import composed, folded

PEOPLE = ["Zoë", "Åsa", "김철수", "Đặng", "Ann", "Bo", "Cy"]
FORMS = [("NFC", "NFD"), ("NFD", "NFC")]
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20)


def run(main, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def in_form(form, text):
    return unicodedata.normalize(form, text)


def photos(root, form, side=112):
    """Seven people with three photographs each, their names in a form."""
    for number, name in enumerate(PEOPLE):
        for photo in range(1, 4):
            path = root / in_form(form, f"{name}/{name}_{photo:04d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = np.random.default_rng(10 * number + photo).integers(0, 256, (7, 7, 3), np.uint8)
            Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return root


def people(out, split):
    return list(FaceStore.open(split_folder(out, split)).people)


@given(st.text(), st.sampled_from(["NFC", "NFD"]))
def test_names_are_equal_in_every_form_and_case(name, form):
    assert composed(in_form(form, name)) == composed(name) == composed(composed(name))
    assert folded(in_form(form, name)) == folded(name) == folded(folded(name)) == folded(in_form(form, name.casefold()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(NAMES, NAMES, st.permutations(["NFC", "NFD"]))
def test_a_path_is_found_in_every_form_and_given_as_it_is_spelled(tmp_path, folder, name, forms):
    there, asked = (in_form(form, f"{folder}x/{name}x") for form in forms)
    if max(len(part.encode()) for part in there.split("/")) > 255:
        return
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).touch()
    try:
        assert paths_as_spelled(tmp_path)(asked) == there
        assert paths_as_spelled(tmp_path)(f"{asked}no") is None
    finally:
        os.remove(tmp_path / there)


def test_of_two_files_that_differ_in_form_alone_each_is_itself(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / in_form(form, "é.png")).touch()
    if len(os.listdir(tmp_path)) == 2:
        for form in ("NFC", "NFD"):
            assert paths_as_spelled(tmp_path)(in_form(form, "é.png")) == in_form(form, "é.png")


@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_lists_in_one_form_name_people_and_images_in_the_other(tmp_path, disk, lists):
    root = photos(tmp_path / "photos", disk)
    written = {
        "val.txt": "Zoë\nÅsa\n",
        "exclude.txt": "Bo\nĐặng/Đặng_0002.png\n",
        "pairs.txt": "1\t1\nZoë\t1\t2\nZoë\t1\tÅsa\t1\n",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(in_form(lists, text), encoding="utf-8")
    options = [
        f"--{name}={tmp_path / file}" for name, file in zip(("val-people", "exclude", "pairs"), written, strict=True)
    ]
    assert run(prepare_main, root, "--out", tmp_path / "o", "--split", "1,0,1", "--vlr-sizes", "none", *options) == 0
    assert people(tmp_path / "o", "val") == ["Zoë", "Åsa"]
    assert len((tmp_path / "o/val_processed/pairs.txt").read_text(encoding="utf-8").splitlines()) == 3
    with (tmp_path / "o/problems.csv").open(encoding="utf-8") as file:
        left_out = [row["image"] for row in csv.DictReader(file)]
    assert left_out == [*(f"Bo/Bo_000{number}.png" for number in (1, 2, 3)), in_form(disk, "Đặng/Đặng_0002.png")]
    for split in SPLITS:  # whatever is prepared is composed, sources stay as they are spelled
        with (split_folder(tmp_path / "o", split) / "index.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert composed(row["image"] + row["person"]) == row["image"] + row["person"]
                assert (root / row["source"]).is_file()


@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_an_index_in_one_form_names_images_in_the_other(tmp_path, disk, lists):
    root = photos(tmp_path / "photos", disk)
    rows = [f"{name}/{name}_{photo:04d}.png,{name}" for name in PEOPLE for photo in (1, 2, 3)]
    mixed = [in_form(FORMS[number % 2][0], row) for number, row in enumerate(rows)]
    for name, lines in (("same", [in_form(lists, row) for row in rows]), ("mixed", mixed)):
        (root / f"{name}.csv").write_text("image,person\n" + "\n".join(lines), encoding="utf-8")
        out = tmp_path / name
        assert run(prepare_main, root / f"{name}.csv", "--out", out, "--split", "1,1,1", "--vlr-sizes", "none") == 0
        assert sorted(person for split in SPLITS for person in people(out, split)) == sorted(PEOPLE)


@pytest.mark.parametrize("kind", ["own", "VGGFace2", "plain"])
@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_landmarks_in_one_form_align_images_in_the_other(tmp_path, disk, lists, kind):
    root = photos(tmp_path / "photos", disk, 120)
    columns = ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")
    heads = {"own": f"image,{columns}\n", "VGGFace2": "NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y\n"}
    numbers = ",".join(map(str, np.array(ARCFACE_TEMPLATE).ravel()))
    ending = "" if kind == "VGGFace2" else ".png"
    rows = [f"{name}/{name}_{photo:04d}{ending},{numbers}" for name in PEOPLE for photo in (1, 2, 3)]
    text = heads.get(kind, "") + "\n".join(row.replace(",", " " if kind == "plain" else ",") for row in rows)
    (tmp_path / "marks.csv").write_text(in_form(lists, text), encoding="utf-8")
    options = ["--split", "1,1,1", "--vlr-sizes", "none", "--out", tmp_path / "o"]
    assert run(prepare_main, root, *options, "--landmarks", tmp_path / "marks.csv") == 0
    assert (tmp_path / "o/problems.csv").read_text().count("\n") == 1
    (tmp_path / "marks.csv").rename(root / "marks.csv")  # beside the photographs it is found by itself
    source = open_source(root, AUTO, None)
    assert len(source.records) == 21 and all(record.landmarks is not None for record in source.records)


@pytest.mark.parametrize(("disk", "lists"), FORMS)
def test_lists_of_the_kind_of_celeba_name_images_in_the_other_form(tmp_path, disk, lists):
    (tmp_path / "images").mkdir()
    for name in ("é_1.jpg", "é_2.jpg"):
        (tmp_path / "images" / in_form(disk, name)).write_bytes(name.encode())
    (tmp_path / "identity.txt").write_text(in_form(lists, "é_1.jpg 7\né_2.jpg 8\n"), encoding="utf-8")
    numbers = " ".join(map(str, range(10)))
    (tmp_path / "marks.txt").write_text(in_form(lists, f"é_1.jpg {numbers}\n"), encoding="utf-8")
    source = open_source(tmp_path, AUTO, None)
    assert [(record.person, record.landmarks is not None) for record in source.records] == [("7", True), ("8", False)]
    assert [source.read(record).decode() for record in source.records] == ["é_1.jpg", "é_2.jpg"]


def test_folders_of_one_name_in_both_forms_are_one_person(tmp_path):
    root = photos(tmp_path / "photos", "NFC")
    (root / "Zoë/Zoë_0001.png").rename(tmp_path / "other.png")
    other = root / in_form("NFD", "Zoë/Zoë_0002.png")
    other.parent.mkdir(exist_ok=True)
    (tmp_path / "other.png").rename(other)
    assert run(prepare_main, root, "--out", tmp_path / "o", "--split", "1,1,1", "--vlr-sizes", "none") == 0
    store = next(
        store for split in SPLITS if "Zoë" in (store := FaceStore.open(split_folder(tmp_path / "o", split))).people
    )
    assert sorted(image for image in store.images if image.startswith("Zoë/")) == [
        "Zoë/Zoë_0002.png",
        "Zoë/Zoë_0002_2.png",
        "Zoë/Zoë_0003.png",
    ]


def test_a_data_set_that_went_through_macos_is_whole(tmp_path, capsys):
    out = tmp_path / "o"
    run(prepare_main, photos(tmp_path / "photos", "NFC"), "--out", out, "--split", "1,1,1", "--vlr-sizes", "16")
    for folder, folders, files in os.walk(out, topdown=False):
        for name in (*folders, *files):
            os.rename(os.path.join(folder, name), os.path.join(folder, in_form("NFD", name)))
    capsys.readouterr()
    assert run(check_main, out) == 0
    assert "0 problems" in capsys.readouterr().out


def test_low_resolution_images_belong_to_their_faces_in_every_form(tmp_path):
    path = tmp_path / in_form("NFD", "vlr_images/16px/Zoë/é.png")
    path.parent.mkdir(parents=True)
    path.touch()
    assert vlr_images(tmp_path, [Face("Zoë/é.png", "Zoë")]) == {16: {"Zoë/é": path}}
