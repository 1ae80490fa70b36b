"""`dataset export`: read back by readers of the published descriptions, and by `dataset prepare`."""

import io
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from dataset.export import main as export_main
from dataset.formats.recordio import open_recordio
from dataset.formats.recordio_writer import write_recordio
from dataset.formats.source import FormatError
from dataset.formats.verification_set import open_verification_set
from dataset.photographs.pairs import Pair, write_pairs
from dataset.store import FaceStore
from tests.dataset.field_files import MAGIC

PEOPLE = ["Ann", "Bo", "Zoë"]


def run(*argv):
    with pytest.raises(SystemExit) as stopped:
        export_main([str(value) for value in argv])
    return stopped.value.code


@pytest.fixture
def split(tmp_path):
    """Three people, whose photographs stand in turn; named as LFW's."""
    draw = np.random.default_rng(0)
    faces = [draw.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(12)]
    people = [PEOPLE[number % 3] for number in range(12)]
    images = [f"{person}/{person}_{number // 3 + 1:04d}.png" for number, person in enumerate(people)]
    FaceStore.build(tmp_path / "val_processed", iter(faces), images, people)
    return tmp_path / "val_processed", dict(zip(images, faces, strict=True))


def records(data):
    """(offset, content) of every record, as dmlc-core's recordio.h describes it."""
    here, parts, begin = 0, [], 0
    while here < len(data):
        magic, packed = data[here : here + 4], struct.unpack_from("<I", data, here + 4)[0]
        assert magic == MAGIC
        kind, length = packed >> 29, packed & (2**29 - 1)
        begin = here if kind in (0, 1) else begin
        parts = [*([] if kind in (0, 1) else parts), data[here + 8 : here + 8 + length]]
        here += 8 + (length + 3) // 4 * 4
        if kind in (0, 3):
            yield begin, MAGIC.join(parts)


def content(record):
    """(labels, id, image), as MXNet's image_recordio.h describes it."""
    flag, label, key, _ = struct.unpack_from("<IfQQ", record)
    labels = struct.unpack_from(f"<{flag}f", record, 24) if flag else (label,)
    return labels, key, record[24 + 4 * flag :]


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_rec_has_every_face_of_a_person_in_a_row_as_insightface_reads_it(split, tmp_path):
    folder, faces = split
    assert run(folder, tmp_path / "out" / "train.rec") == 0
    data = (tmp_path / "out" / "train.rec").read_bytes()
    offsets = [line.split("\t") for line in (tmp_path / "out" / "train.idx").read_text().splitlines()]
    at = {int(key): int(offset) for key, offset in offsets}
    known = dict(records(data))
    assert sorted(at.values()) == sorted(known) and sorted(at) == list(range(len(at)))
    (images_end, people_end), _, nothing = content(known[at[0]])
    assert (images_end, people_end, nothing) == (13, 16, b"")
    names = [line.split("\t") for line in (tmp_path / "out" / "train.lst").read_text().splitlines()]
    seen = {}
    for key, label, name in names:
        labels, identity, image = content(known[at[int(key)]])
        assert labels == (float(label),) and identity == int(key)
        assert np.array_equal(pixels(image), faces[f"{name}.png"]) and name.startswith(PEOPLE[int(label)])
        seen.setdefault(int(label), []).append(int(key))
    for person, key in enumerate(range(int(images_end), int(people_end))):
        (first, end), _, nothing = content(known[at[key]])
        assert list(range(int(first), int(end))) == seen[person] and nothing == b""
    assert (tmp_path / "out" / "property").read_text() == "3,112,112"


def test_a_rec_is_read_by_prepare_too(split, tmp_path):
    assert run(split[0], tmp_path / "train.rec", "--jpeg", "95") == 0
    source = open_recordio(tmp_path / "train.rec")
    assert len(source.records) == 12 and not source.problems and not source.notes
    assert {record.name.partition("/")[0]: record.person for record in source.records} == {
        "Ann": "0",
        "Bo": "1",
        "Zoë": "2",
    }
    assert source.read(source.records[0])[:2] == b"\xff\xd8"


def test_an_image_with_the_magic_number_in_it_is_written_in_parts(tmp_path):
    images = [b"....." * 3 + b"." + MAGIC + b"abc", MAGIC * 3, b"\0" + MAGIC + b"\0" * 7, b"x"]
    named = [(f"image {number}", "Ann", image) for number, image in enumerate(images)]
    assert write_recordio(tmp_path / "set.rec", ["Ann"], named, 112) == 4
    found = [content(record)[2] for _, record in records((tmp_path / "set.rec").read_bytes())]
    assert found[1:5] == images


def test_images_of_a_person_in_two_places_and_no_images_are_refused_and_nothing_is_left(tmp_path):
    for named, said in (([("a", "Ann", b"1"), ("b", "Bo", b"2"), ("c", "Ann", b"3")], "two places"), ([], "no image")):
        with pytest.raises(FormatError, match=said):
            write_recordio(tmp_path / "set.rec", ["Ann", "Bo"], named, 112)
        assert list(tmp_path.iterdir()) == []


def listed(folder, folds=10):
    pairs = []
    for fold in range(1, folds + 1):
        person, number = PEOPLE[fold % 3], 1 + fold % 4
        pairs.append(Pair((person, number), (person, 1 + number % 4), fold))
        pairs.append(Pair(("Ann", 1), ("Bo", number), fold))
    write_pairs(folder / "pairs.txt", pairs)
    return pairs


def test_a_bin_has_the_faces_of_each_pair_as_insightface_reads_it(split, tmp_path, capsys):
    folder, faces = split
    pairs = listed(folder)
    kept = list(dict.fromkeys((*pair.keys, pair.same) for pair in pairs))
    assert run(folder, tmp_path / "val.bin") == 0
    with (tmp_path / "val.bin").open("rb") as file:
        images, same = pickle.load(file)
    assert {type(image) for image in images} == {bytes} and {type(each) for each in same} == {bool}
    found = [(one, other, each) for one, other, each in zip(images[::2], images[1::2], same, strict=True)]
    for (one, other, each), (first, second, expected) in zip(found, kept, strict=True):
        assert each == expected
        assert np.array_equal(pixels(one), faces[f"{first}.png"])
        assert np.array_equal(pixels(other), faces[f"{second}.png"])
    assert len(open_verification_set(tmp_path / "val.bin").records) == 2 * len(kept)
    assert f"{len(kept)} pairs" in capsys.readouterr().out


def test_pairs_in_one_fold_are_shared_out_so_that_each_tenth_has_both_kinds(split, tmp_path, capsys):
    folder = split[0]
    people = [(person, number) for person in PEOPLE for number in range(1, 5)]
    rows = [(one, other) for number, one in enumerate(people) for other in people[number + 1 :]]
    same = [row for row in rows if row[0][0] == row[1][0]][:10]
    other = [row for row in rows if row[0][0] != row[1][0]][:20]
    write_pairs(folder / "pairs.txt", [Pair(one, two, 1) for one, two in [*same, *other]])
    assert run(folder, tmp_path / "val.bin") == 0
    with (tmp_path / "val.bin").open("rb") as file:
        labels = pickle.load(file)[1]
    assert [sum(labels[start : start + 3]) for start in range(0, 30, 3)] == [1] * 10
    assert "which these are not" not in capsys.readouterr().out


def test_folds_that_readers_will_not_find_again_are_told(split, tmp_path, capsys):
    listed(split[0], folds=4)
    assert run(split[0], tmp_path / "val.bin") == 0
    assert "10 equal parts in the order of the pairs for folds, which these are not" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["out.csv"], "give a name that ends in .rec or .bin"),
        (["out.bin"], "no pairs.txt or pairs.csv in it to write; give --pairs"),
        (["out.rec", "--pairs", "pairs.txt"], "--pairs is for a .bin"),
        (["out.bin", "--pairs", "nowhere.txt"], "nowhere.txt: no such list of pairs"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(split, tmp_path, capsys, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    assert run(split[0], *given) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1
    assert run(tmp_path / "nothing", "out.rec") == 2


def test_a_face_that_cannot_be_read_is_named_and_nothing_is_written(split, tmp_path, capsys):
    folder = tmp_path / "images" / "hr_images" / "Ann"
    folder.mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(next(iter(split[1].values()))).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:90])
    assert run(tmp_path / "images", tmp_path / "out" / "set.rec") == 2
    assert "2.png: damaged image" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
