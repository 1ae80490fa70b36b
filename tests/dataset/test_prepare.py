import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.image_files import read_image
from dataset.photographs.intake import Photo
from dataset.photographs.layout import SPLITS, hr_faces, split_folder, vlr_images
from dataset.photographs.pairs import Pair, read_pairs
from dataset.photographs.selection import duplicates
from dataset.prepare import main
from dataset.store import FaceStore
from dataset.views.degrade import shrink

ROOT = Path(__file__).resolve().parents[2]


def draw(path, seed, size=(112, 112)):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for person in range(8):
        for photo in range(1, 4 if person else 2):
            draw(folder / f"P_{person}" / f"P_{person}_{photo:04d}.png", 10 * person + photo)
    return folder


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def refused(capsys, *arguments):
    """Run a command that must end with one line and exit code 2; return the line."""
    capsys.readouterr()
    assert run(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    return lines[0]


def problems(out):
    with (out / "problems.csv").open(encoding="utf-8") as file:
        return {row["image"]: row["problem"] for row in csv.DictReader(file)}


def content(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_defaults_give_three_splits_by_person_that_agree_in_all_their_files(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photos, "--out", out) == 0
    assert "name of the sub-folder" in capsys.readouterr().out
    people = []
    for split in SPLITS:
        folder = split_folder(out, split)
        store = FaceStore.open(folder)
        store.verify()
        faces, rule = hr_faces(folder)
        assert rule.startswith("index")
        assert [face.image for face in faces] == list(store.images)
        assert [face.person for face in faces] == [store.people[number] for number in store.person]
        for row, face in enumerate(faces):
            pixels = read_image(folder / "hr_images" / face.image)
            assert np.array_equal(pixels, store.faces[row])
            assert np.array_equal(pixels, read_image(photos / face.image))
        low = vlr_images(folder, faces)
        assert sorted(low) == [8, 12, 16, 24, 32]
        small = (shrink(store.batch([0]).float() / 255, 16)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(read_image(low[16][faces[0].key]), small)
        people.append(set(store.people))
    assert sum(map(len, people)) == len(set.union(*people)) == 8


def test_the_same_command_again_does_nothing_and_another_is_refused(photos, tmp_path, capsys):
    out = tmp_path / "out"
    run(photos, "--out", out, "--vlr-sizes", "none")
    before = content(out)
    assert run(photos, "--out", out, "--vlr-sizes", "none") == 0
    assert "already prepared" in capsys.readouterr().out
    line = refused(capsys, photos, "--out", out, "--vlr-sizes", "none", "--seed", 1)
    assert "seed: 0 there, 1 now" in line and "--overwrite" in line
    assert content(out) == before
    assert run(photos, "--out", out, "--vlr-sizes", "none", "--seed", 1, "--overwrite") == 0
    assert content(out) != before


def test_two_runs_write_the_same_bytes(photos, tmp_path):
    for name in ("one", "two"):
        run(photos, "--out", tmp_path / name, "--vlr-sizes", "8")
    one, two = (content(tmp_path / name) for name in ("one", "two"))
    assert one == two


def test_splits_that_somebody_else_made_are_not_replaced(photos, tmp_path, capsys):
    (tmp_path / "out" / "val_processed").mkdir(parents=True)
    assert "without a prepare.json" in refused(capsys, photos, "--out", tmp_path / "out")


def test_nothing_that_is_read_is_ever_replaced(photos, tmp_path, capsys):
    out = tmp_path / "out"
    run(photos, "--out", out, "--vlr-sizes", "none")
    (tmp_path / "linked").symlink_to(out / "train_processed/hr_images")
    (out / "val_processed/people.txt").write_text("P_1\nP_2\n")
    images = out.rglob("*/hr_images/*/*.png")
    rows = [f"{path.relative_to(tmp_path).as_posix()},{path.parent.name}\n" for path in images]
    (tmp_path / "list.csv").write_text("image,person\n" + "".join(rows))
    before = content(out)
    for arguments in (
        (out / "train_processed/hr_images",),
        (tmp_path / "list.csv",),
        (tmp_path / "linked",),
        (photos, "--val-people", out / "val_processed/people.txt"),
    ):
        said = refused(capsys, *arguments, "--out", out, "--split", "1,0,0", "--overwrite")
        assert "which the new splits replace; choose another --out" in said
        assert content(out) == before


@pytest.mark.parametrize("place", [".", "below"])
def test_splits_among_the_photographs_are_no_photographs(photos, capsys, place):
    out = photos / place
    assert run(photos, "--out", out, "--vlr-sizes", "none") == 0
    draw(out / "contact_sheet.png", 1)
    capsys.readouterr()
    assert run(photos, "--out", out, "--vlr-sizes", "none") == 0
    assert "already prepared" in capsys.readouterr().out


def test_pairs_choose_the_validation_people_and_stay_beside_the_data(photos, tmp_path, capsys):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("2\t1\nP_1\t1\t2\nP_1\t1\tP_2\t1\nP_3\t1\t2\nP_3\t1\tP_4\t3\n")
    assert run(photos, "--out", tmp_path / "o", "--pairs", pairs, "--val-folds", "2", "--split", "1,0,0") == 0
    said = capsys.readouterr().out
    assert "test: none, its share is 0" in said and "6 people (1 with one image)" in said
    assert list(FaceStore.open(tmp_path / "o/val_processed").people) == ["P_3", "P_4"]
    kept = [read_pairs(tmp_path / f"o/{split}_processed/pairs.txt") for split in ("train", "val")]
    assert [[pair.people for pair in each] for each in kept] == [[{"P_1"}, {"P_1", "P_2"}], [{"P_3"}, {"P_3", "P_4"}]]
    assert not (tmp_path / "o/test_processed").exists()


def test_people_can_be_chosen_and_excluded_by_name(photos, tmp_path, capsys):
    (tmp_path / "val.txt").write_text("P_6\n\nP_7\n")
    (tmp_path / "no.txt").write_text("P_0\nP_1/P_1_0002.png\n")
    options = ["--val-people", tmp_path / "val.txt", "--exclude", tmp_path / "no.txt", "--vlr-sizes", "none"]
    assert run(photos, "--out", tmp_path / "o", *options) == 0
    assert list(FaceStore.open(tmp_path / "o/val_processed").people) == ["P_6", "P_7"]
    assert problems(tmp_path / "o") == {"P_0/P_0_0001.png": "excluded", "P_1/P_1_0002.png": "excluded"}
    (tmp_path / "val.txt").write_text("Nobody\n")
    assert "'Nobody' is no person" in refused(capsys, photos, "--out", tmp_path / "o2", *options)
    assert "--val-folds 8: folds of which list" in refused(capsys, photos, "--out", tmp_path / "o2", "--val-folds", 8)


def test_a_split_chosen_by_name_is_never_filled_by_chance_nor_left_out(photos, tmp_path, capsys):
    (tmp_path / "people.txt").write_text("P_6\nP_7\n")
    (tmp_path / "pairs.txt").write_text("1\t1\nElse\t1\t2\nElse\t1\tOther\t1\n")
    for arguments in (
        ("--val-people", tmp_path / "people.txt", "--exclude", tmp_path / "people.txt"),
        ("--pairs", tmp_path / "pairs.txt", "--val-folds", 1),
    ):
        said = refused(capsys, photos, "--out", tmp_path / "o", *arguments)
        assert "0 in val" in said and "mend the list of people, or the folds, that val is chosen by" in said
    for person in ("P_6", "P_7"):
        for path in (photos / person).iterdir():
            shutil.copy(path, photos / "P_1" / path.name)
    said = refused(capsys, photos, "--out", tmp_path / "o", "--test-people", tmp_path / "people.txt")
    assert "0 people with usable images in test" in said and "12 images are duplicates, the first: P_1/P_6_0001" in said


@pytest.mark.parametrize(
    ("pairs", "split", "dropped"),
    [([], "test", ["a/a_0002.png"]), ([1], "test", ["a/a_0002.png"]), ([2], "test", ["a/a_0001.png"])]
    + [([1, 2], "test", []), ([2], "train", ["a/a_0002.png"])],
)
def test_of_copies_the_one_that_a_pair_names_stays(pairs, split, dropped):
    photos = [Photo(f"a/a_000{number}.png", "a", f"a/a_000{number}.png") for number in (1, 2)]
    listed = [Pair(("a", number), ("b", 1), 1) for number in pairs]
    found = duplicates(photos, {photo.source: "hash" for photo in photos}, {"a": split}, listed)
    assert [problem.image for problem in found] == dropped


def test_unusable_and_duplicated_images_are_listed_and_the_rest_is_prepared(photos, tmp_path, capsys):
    (photos / "P_1/empty.png").write_bytes(b"")
    (photos / "P_1/text.jpg").write_text("hello")
    (photos / "P_1/cut.png").write_bytes((photos / "P_1/P_1_0001.png").read_bytes()[:300])
    draw(photos / "P_1/one.png", 900, (1, 1))
    draw(photos / "P_1/large.png", 901, (300, 200))
    shutil.copy(photos / "P_2/P_2_0001.png", photos / "P_2/copy.png")
    shutil.copy(photos / "P_3/P_3_0001.png", photos / "P_4/other.png")
    assert run(photos, "--out", tmp_path / "o", "--vlr-sizes", "none") == 0
    assert problems(tmp_path / "o") == {
        **{f"P_1/{name}": "unusable" for name in ("cut.png", "empty.png", "large.png", "one.png", "text.jpg")},
        **dict.fromkeys(("P_2/copy.png", "P_3/P_3_0001.png", "P_4/other.png"), "duplicate"),
    }
    assert "5 unusable" in capsys.readouterr().out
    images = [image for split in SPLITS for image in FaceStore.open(split_folder(tmp_path / "o", split)).images]
    assert len(images) == len(set(images)) == 22 - 1


def test_valid_oddities_work(photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    face = Image.open(photos / "P_1/P_1_0001.png")
    face.convert("CMYK").save(photos / "P_1/a b,c.jpg")
    face.save(photos / "P_1/é.jpg", exif=exif)
    Image.new("I;16", (112, 112), 40_000).save(photos / "P_1/sixteen.png")
    face.save(photos / "P_1/moving.gif", save_all=True, append_images=[face.rotate(90)])
    (photos / "P_1").rename(photos / "Zoë, the 1st")
    assert run(photos, "--out", tmp_path / "o") == 0
    assert problems(tmp_path / "o") == {}
    stores = [FaceStore.open(split_folder(tmp_path / "o", split)) for split in SPLITS]
    assert sum("Zoë, the 1st" in store.people for store in stores) == 1
    assert "Zoë, the 1st/a b,c.png" in [image for store in stores for image in store.images]


def test_raw_photographs_are_aligned_by_listed_landmarks(tmp_path, capsys):
    header = "image," + ",".join(
        f"{p}_{a}" for p in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for a in "xy"
    )
    lines = [header]
    for number in range(6):
        draw(tmp_path / f"raw/p{number}_1.png", number, (300, 260))
        points = np.array(ARCFACE_TEMPLATE) + (60, 70)
        lines.append(f"p{number}_1.png," + ",".join(map(str, points.ravel())))
    (tmp_path / "marks.csv").write_text("\n".join(lines))
    options = ["--landmarks", tmp_path / "marks.csv", "--identity-pattern", r"(.+)_\d+", "--vlr-sizes", "none"]
    assert run(tmp_path / "raw", "--out", tmp_path / "o", *options) == 0
    store = FaceStore.open(tmp_path / "o/train_processed")
    photo = read_image(tmp_path / "raw" / Path(store.images[0]).name)
    assert np.abs(store.faces[0].astype(int) - photo[70:182, 60:172]).max() <= 1
    assert "names are no photograph" not in capsys.readouterr().out
    some = [*lines, lines[1].replace("p0_1", "gone"), lines[1].replace("p0_1", "lost")]
    for text, code, said in (
        (some, 0, "2 of 8 names are no photograph, e.g. 'gone.png'"),
        ([line.replace(".png", ".jpg") for line in lines], 2, "none of its 6 names is a photograph, the first is 'p0_"),
    ):
        (tmp_path / "marks.csv").write_text("\n".join(text))
        assert run(tmp_path / "raw", "--out", tmp_path / "o", "--overwrite", *options) == code
        assert said in "".join(capsys.readouterr())


def test_an_index_gives_people_and_further_columns(photos, tmp_path):
    rows = [
        f"{path.relative_to(photos).as_posix()},Dr. {path.parent.name},{n}"
        for n, path in enumerate(sorted(photos.rglob("*.png")))
    ]
    (photos / "list.csv").write_text("image,person,age\n" + "\n".join(rows))
    assert run(photos / "list.csv", "--out", tmp_path / "o", "--vlr-sizes", "none") == 0
    index = (tmp_path / "o/train_processed/index.csv").read_text(encoding="utf-8").splitlines()
    assert index[0] == "image,person,source,age"
    assert index[1].startswith("Dr. P_") and ",Dr. P_" in index[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda photos: shutil.rmtree(photos), "no such folder"),
        (lambda photos: [path.unlink() for path in photos.rglob("*.png")], "no images"),
        (lambda photos: [shutil.rmtree(photos / f"P_{n}") for n in range(3)], "5 people give"),
        (lambda photos: (photos / "P_1").rename(photos / "p_2"), "two people whose folders are one"),
        (lambda photos: (photos / "P_1").rename(photos / "P_2  "), "names differ in spaces alone"),
        (
            lambda photos: [draw(path, n, (90, 80)) for n, path in enumerate(photos.rglob("*.png"))],
            "90x80 and no face found",
        ),
    ],
)
def test_photographs_that_make_no_data_set_are_refused(photos, tmp_path, capsys, change, said):
    change(photos)
    assert said in refused(capsys, photos, "--out", tmp_path / "o")
    assert not list((tmp_path / "o").glob("*_processed")) and not list((tmp_path / "o").glob(".staging*"))


def test_a_file_in_the_place_of_the_splits_is_refused_at_once(photos, tmp_path, capsys):
    (tmp_path / "file").write_text("hello")
    for out in (tmp_path / "file", tmp_path / "file/below"):
        assert "file: a file, where the folder of the splits is expected" in refused(capsys, photos, "--out", out)


@pytest.mark.parametrize("data", [b"image,left_eye_x\n\xff.png,1\n", b"image\n" + b"a" * 140_000])
def test_landmarks_that_are_no_csv_are_refused(photos, tmp_path, capsys, data):
    (tmp_path / "marks.csv").write_bytes(data)
    said = refused(capsys, photos, "--out", tmp_path / "o", "--landmarks", tmp_path / "marks.csv")
    assert "marks.csv, line 2: not " in said


def test_files_whose_names_differ_in_case_or_suffix_alone_all_stay(photos, tmp_path):
    draw(photos / "P_1/p_1_0001.jpg", 70)
    draw(photos / "P_1/P_1_0001.bmp", 71)
    assert run(photos, "--out", tmp_path / "o", "--vlr-sizes", "none") == 0
    images = [image for split in SPLITS for image in FaceStore.open(split_folder(tmp_path / "o", split)).images]
    assert len({image.casefold() for image in images}) == 24


def test_a_full_disk_is_one_line_and_leaves_the_earlier_splits(photos, tmp_path, capsys, monkeypatch):
    run(photos, "--out", tmp_path / "o", "--vlr-sizes", "none")
    before = content(tmp_path / "o")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dataset.photographs.assembly._save", full)
    assert "space" in refused(capsys, photos, "--out", tmp_path / "o", "--seed", 1, "--overwrite")
    assert content(tmp_path / "o") == before


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_leaves_nothing_that_looks_whole_and_the_next_one_succeeds(photos, tmp_path, capsys):
    for person in range(8):
        for photo in range(4, 16):
            draw(photos / f"P_{person}" / f"P_{person}_{photo:04d}.png", 100 * person + photo)
    out = tmp_path / "o"
    command = [sys.executable, "-m", "dataset", "prepare", str(photos), "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob(".staging-*/train_processed/hr_images/*/*.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(out.glob("*_processed")) and not (out / "prepare.json").exists()
    assert run(photos, "--out", out, "--vlr-sizes", "none") == 0
    assert not list(out.glob(".staging-*"))
    assert json.loads((out / "prepare.json").read_text())["present"] == list(SPLITS)
