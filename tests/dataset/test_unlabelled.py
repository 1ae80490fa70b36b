"""Faces of which nobody says whose they are: prepared to train on, and for nothing else."""

import json

import numpy as np
import pytest

from dataset.check import main as check
from dataset.photographs.image_files import decode_image
from dataset.prepare import main as prepare
from dataset.store import FaceStore
from facial_rec.train_edgeface import main as train_edgeface
from pipeline.choose_threshold import main as choose_threshold
from pipeline.evaluate_dataset import main as evaluate
from tests.dataset.field_files import (
    insightface_contents,
    pictures,
    samples,
    write_bin,
    write_folder,
    write_parquet,
    write_recordio,
    write_tar,
    write_zip,
)

FACES = pictures(people=4, photos=2)


def call(main, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def run(*arguments):
    return call(prepare, *arguments, "--vlr-sizes", "none")


def flat(path):
    write_folder(path, FACES, "{number:03d}.png")
    return path


def nested(path):
    write_folder(path, FACES, "shard_{number:03d}/face.png")
    return path


def beside_an_index(path):
    write_folder(path, FACES, "{number:03d}.png")
    (path / "index.csv").write_text("image,person\n000.png,Ann\n")
    return path


def listed(path):
    names = write_folder(path, FACES, "{number:03d}.png")
    (path / "list.csv").write_text("image\n" + "".join(f"{name}\n" for name in names))
    return path / "list.csv"


def without_labels(path):
    from pyarrow import parquet

    whole = parquet.read_table(write_parquet(path, FACES))
    parquet.write_table(whole.drop_columns(["label"]), path)
    return path


def in_files(faces):
    return [(f"{number:03d}.png", image) for number, (_, image) in enumerate(faces)]


def verification_set(path):
    images = [image for _, image in FACES]
    return write_bin(path, [(*images[each : each + 2], each == 0) for each in range(0, 8, 2)])


SOURCES = {
    "files side by side": flat,
    "folders that are no people": nested,
    "a folder with an index": beside_an_index,
    "an index without people": listed,
    "parquet without labels": without_labels,
    "parquet with labels": lambda path: write_parquet(path, FACES),
    "recordio": lambda path: write_recordio(path, insightface_contents(FACES)),
    "a zip of files": lambda path: write_zip(path, in_files(FACES)),
    "a tar of files": lambda path: write_tar(path, in_files(FACES)),
    "webdataset": lambda path: write_tar(path, samples(FACES)),
    "a verification set": verification_set,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_format_gives_training_faces_of_nobody(kind, tmp_path, capsys):
    source, out = SOURCES[kind](tmp_path / "source"), tmp_path / "out"
    assert run(source, "--out", out, "--unlabelled") == 0
    said = capsys.readouterr().out
    assert "8 images of nobody known\n" in said
    assert f"{out / 'train_processed'}: 8 images of nobody known, to train by distillation" in said
    assert sorted(each.name for each in out.iterdir() if each.is_dir()) == ["train_processed"]
    store = FaceStore.open(out / "train_processed")
    wanted = [decode_image(image, "face") for _, image in FACES]
    assert not store.labelled and len(set(store.images)) == 8
    assert all(any(np.array_equal(face, each) for each in wanted) for face in store.faces)


@pytest.mark.parametrize(
    "about", ["--identity-pattern=(.)", "--pairs=p.txt", "--val-people=p.txt", "--test-folds=1", "--split=50,25,25"]
)
def test_an_option_about_people_is_refused(about, tmp_path, capsys):
    assert run(flat(tmp_path / "source"), "--out", tmp_path / "out", "--unlabelled", about) == 2
    error = capsys.readouterr().err
    assert f"nobody's people are read; leave {about.partition('=')[0]} out" in error
    assert not (tmp_path / "out").exists()


def test_photographs_of_nobody_usable_are_refused(tmp_path, capsys):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(b"\x89PNG no image")
    assert run(tmp_path / "source", "--out", tmp_path / "out", "--unlabelled") == 2
    assert "no usable image" in capsys.readouterr().err and not (tmp_path / "out" / "train_processed").exists()


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    root = tmp_path_factory.mktemp("strangers")
    assert run(nested(root / "source"), "--out", root / "out", "--unlabelled") == 0
    return root / "out"


def test_the_same_photographs_with_people_are_another_data_set(strangers, capsys):
    assert run(strangers.parent / "source", "--out", strangers) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(strangers.parent / "source", "--out", strangers, "--unlabelled") == 0
    assert "already prepared" in capsys.readouterr().out


def test_check_counts_no_people_and_finds_nothing_amiss(strangers, capsys):
    assert call(check, strangers, "--json") == 0
    counts = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert (counts["people"], counts["images"], counts["packed"]) == (0, 8, True)


def test_whatever_needs_people_refuses_them(strangers, tmp_path, capsys):
    split = strangers / "train_processed"
    for main, given in (
        (evaluate, ["--dataset-root", split, "--out", tmp_path / "report"]),
        (choose_threshold, [split, "--out", tmp_path / "threshold.json"]),
        (train_edgeface, ["--dataset", strangers, "--out", tmp_path / "run", "--device", "cpu"]),
    ):
        assert call(main, *given) == 2
        error = capsys.readouterr().err
        assert f"{split}: faces without people" in error and len(error.splitlines()) == 1
