"""Data sets prepared from the field's files: one course for all of them."""

import csv
import struct
import zlib

import numpy as np
import pytest

from dataset.photographs.image_files import decode_image
from dataset.photographs.layout import SPLITS, hr_faces, split_folder
from dataset.photographs.pairs import read_pairs
from dataset.prepare import main
from dataset.store import FaceStore
from tests.dataset.field_files import (
    encoded,
    insightface_contents,
    labelled,
    pictures,
    samples,
    write_bin,
    write_folder,
    write_parquet,
    write_recordio,
    write_tar,
    write_zip,
)
from tests.dataset.test_formats import CELEBA_HEADER, landmark_lines

FACES = pictures(people=7, photos=2)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in (*arguments, "--vlr-sizes", "none")])
    return ended.value.code


def in_folders(faces):
    return [(f"{person}/{number:03d}.png", image) for number, (person, image) in enumerate(faces)]


def prepared(out):
    """Person to the pixels of their faces, of all splits."""
    found = {}
    for split in SPLITS:
        if split_folder(out, split).is_dir():
            store = FaceStore.open(split_folder(out, split))
            for row, person in enumerate(store.person):
                found.setdefault(store.people[person], []).append(store.faces[row])
    return found


def problems(out):
    with (out / "problems.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


WRITERS = {
    "recordio": lambda path: write_recordio(path, insightface_contents(FACES)),
    "zip": lambda path: write_zip(path, in_folders(FACES)),
    "tar": lambda path: write_tar(path, in_folders(FACES)),
    "tar.gz": lambda path: write_tar(path, in_folders(FACES), "w:gz"),
    "webdataset": lambda path: write_tar(path, samples(FACES)),
    "parquet": lambda path: write_parquet(path, FACES),
    "folder": lambda path: write_folder(path, FACES, "{person}/{number:03d}.png"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_faces_make_the_same_splits_from_every_format(tmp_path, capsys, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    WRITERS[kind](tmp_path / "source")
    assert run(tmp_path / "source", "--out", tmp_path / "o") == 0
    assert "14 images of 7 people" in capsys.readouterr().out
    found = prepared(tmp_path / "o")
    assert set(found) == {str(person) for person in range(7)} and problems(tmp_path / "o") == []
    for person, faces in found.items():
        wanted = [decode_image(image, "") for each, image in FACES if str(each) == person]
        assert all(np.array_equal(face, want) for face, want in zip(faces, wanted, strict=True))
    assert run(tmp_path / "source", "--out", tmp_path / "o") == 0
    assert "already prepared" in capsys.readouterr().out


def test_bad_records_are_listed_and_read_and_listed_make_all(tmp_path, capsys):
    contents = [labelled(float(person), image) for person, image in FACES]
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    bomb += struct.pack(">I", 16) + b"IDAT" + bytes(20)
    contents += [labelled(0.0, b"no image"), labelled(1.0, bomb), labelled(-3.0, FACES[0][1]), labelled(2.0, b"")]
    write_recordio(tmp_path / "a.rec", contents)
    assert run(tmp_path / "a.rec", "--out", tmp_path / "o") == 0
    listed = problems(tmp_path / "o")
    assert sum(map(len, prepared(tmp_path / "o").values())) + len(listed) == len(contents) == 18
    assert {each["image"] for each in listed} == {f"{key:08d}" for key in range(14, 18)}
    assert "megapixels" in next(each["detail"] for each in listed if each["image"] == "00000015")
    assert "4 unusable; listed in" in capsys.readouterr().out


def test_another_label_is_another_data_set(tmp_path, capsys):
    write_recordio(tmp_path / "a.rec", insightface_contents(FACES))
    run(tmp_path / "a.rec", "--out", tmp_path / "o")
    write_recordio(tmp_path / "a.rec", insightface_contents([(person % 6, image) for person, image in FACES]))
    assert run(tmp_path / "a.rec", "--out", tmp_path / "o") == 2
    assert "made differently" in capsys.readouterr().err


def test_a_verification_set_keeps_its_pairs_in_the_split_of_its_people(tmp_path):
    pairs = [(encoded(2 * n), encoded(2 * n + 1), n % 2 == 0) for n in range(20)]
    write_bin(tmp_path / "lfw.bin", pairs)
    assert run(tmp_path / "lfw.bin", "--out", tmp_path / "o", "--split", "1,0,0") == 0
    kept = read_pairs(tmp_path / "o/train_processed/pairs.txt")
    keys = {face.key for face in hr_faces(tmp_path / "o/train_processed")[0]}
    assert [pair.same for pair in kept] == [n % 2 == 0 for n in range(20)] and len(keys) == 40
    assert all(keys.issuperset(pair.keys) for pair in kept)


def celeba(root, parts):
    names = write_folder(root / "img_align_celeba", FACES, "{number:06d}.png")
    people = [f"{name} {10 + person}\n" for name, (person, _) in zip(names, FACES, strict=True)]
    (root / "identity_CelebA.txt").write_text("".join(people))
    (root / "list_landmarks_align_celeba.txt").write_text(f"14\n{CELEBA_HEADER}\n" + landmark_lines(names))
    lines = [f"{name} {parts[person]}\n" for name, (person, _) in zip(names, FACES, strict=True)]
    (root / "list_eval_partition.txt").write_text("".join(lines))


def test_parts_that_were_published_are_kept_unless_people_are_chosen(tmp_path):
    celeba(tmp_path / "a", [0, 0, 0, 1, 1, 2, 2])
    assert run(tmp_path / "a", "--out", tmp_path / "o") == 0
    people = [set(FaceStore.open(split_folder(tmp_path / "o", split)).people) for split in SPLITS]
    assert people == [{"10", "11", "12"}, {"13", "14"}, {"15", "16"}]
    (tmp_path / "val.txt").write_text("10\n11\n")
    assert run(tmp_path / "a", "--out", tmp_path / "p", "--val-people", tmp_path / "val.txt", "--split", "1,0,0") == 0
    assert set(FaceStore.open(split_folder(tmp_path / "p", "val")).people) == {"10", "11"}


def test_lists_of_landmarks_of_other_data_sets_are_taken_by_name(tmp_path, capsys):
    names = write_folder(tmp_path / "photos", pictures(people=7, photos=2, size=(150, 150)), "{person}/{number}.png")
    csv_text = "NAME_ID," + ",".join(f"P{n}X,P{n}Y" for n in range(1, 6)) + "\n"
    csv_text += landmark_lines([f'"{name[:-4]}"' for name in names]).replace(" ", ",")
    (tmp_path / "list.csv").write_text(csv_text)
    assert run(tmp_path / "photos", "--out", tmp_path / "o", "--landmarks", tmp_path / "list.csv") == 0
    assert "names are no photograph" not in capsys.readouterr().out
    assert sum(map(len, prepared(tmp_path / "o").values())) == 14


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x04cos\nsystem\n.", "asks for os.system"),
        (b"PK\x03\x04 and no more", "damaged zip archive"),
        (b"PAR1 and no more", "damaged Parquet file"),
        (b"hello", "no file of a known format"),
        (b"\x0a\x23\xd7\xce", "none of its images can be read"),
    ],
)
def test_files_of_which_nothing_can_be_read_are_refused_in_one_line(tmp_path, capsys, data, said):
    if data.startswith(b"PAR1"):
        pytest.importorskip("pyarrow")
    (tmp_path / "a").write_bytes(data)
    assert run(tmp_path / "a", "--out", tmp_path / "o") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list((tmp_path / "o").glob("*_processed"))


def test_a_source_is_never_replaced_by_its_splits(tmp_path, capsys):
    (tmp_path / "train_processed").mkdir()
    path = write_zip(tmp_path / "train_processed" / "a.zip", in_folders(FACES))
    assert run(path, "--out", tmp_path, "--overwrite") == 2
    assert "which the new splits replace" in capsys.readouterr().err and path.is_file()
