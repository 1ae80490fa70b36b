"""The field's formats, each from a file that was not made by what reads it."""

import os
import pickle
import subprocess
from typing import get_args

import numpy as np
import pytest

from dataset.formats.recognise import AUTO, FORMATS, Format, open_source, recognise
from dataset.formats.source import FormatError
from dataset.formats.verification_set import fold_of
from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.image_files import ImageError, decode_image
from dataset.photographs.layout import LayoutError
from tests.dataset.field_files import (
    MAGIC,
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

FACES = pictures(people=3, photos=3)


def opened(path, wanted=AUTO, pattern=None):
    return open_source(path, wanted, pattern)


def content(source):
    """(person, bytes) of each record."""
    return [(record.person, source.read(record)) for record in source.records]


def as_text(faces):
    return [(str(person), image) for person, image in faces]


def test_every_format_has_a_name_to_force_it():
    assert set(get_args(Format)) == {AUTO, *FORMATS}


@pytest.mark.parametrize("index", [True, False])
def test_insightface_recordio_is_read_by_its_content_with_and_without_index(tmp_path, index):
    path = write_recordio(tmp_path / "whatever.dat", insightface_contents(FACES), index, people=3)
    source = opened(path)
    assert recognise(path) == "recordio" and "9 images of 3 people" in source.what
    assert content(source) == as_text(FACES) and source.problems == []
    assert len({record.name for record in source.records}) == 9
    assert bool(source.notes) != index


def test_plain_recordio_takes_single_labels_and_arrays_and_names_from_the_list(tmp_path):
    contents = [labelled(1.0, FACES[0][1]), labelled((2, 0.5, 7), FACES[1][1])]
    path = write_recordio(tmp_path / "train.rec", contents)
    assert content(opened(path)) == [("1", FACES[0][1]), ("2", FACES[1][1])]
    (tmp_path / "train.lst").write_text("0\t1\ta/one.jpg\n1\t2\tb/two.jpg\n")
    assert [record.name for record in opened(path).records] == ["a/one.jpg", "b/two.jpg"]
    (tmp_path / "train.lst").write_text("1\ta/x.jpg\t1\n1\tb/y.jpg\t2\n")  # InsightFace's: line numbers are keys
    assert [record.name for record in opened(path).records] == ["00000000", "a/x.jpg"]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_records_that_hold_the_magic_number_are_put_together_from_their_parts(tmp_path, times):
    image = FACES[0][1] + b"\0" * (-len(FACES[0][1]) % 4) + times * (MAGIC + b"abcd") + MAGIC + b"end"
    path = write_recordio(tmp_path / "a.rec", [labelled(0.0, image), labelled(1.0, FACES[1][1])])
    assert path.read_bytes().count(MAGIC) == 2 + times + 1
    assert content(opened(path)) == [("0", image), ("1", FACES[1][1])]


@pytest.mark.parametrize("stale", ["another file's", "too short", "no text"])
def test_an_index_that_does_not_fit_is_made_anew(tmp_path, stale):
    path = write_recordio(tmp_path / "a.rec", insightface_contents(FACES))
    index = path.with_suffix(".idx")
    lines = index.read_text().splitlines(keepends=True)
    index.write_text(
        {"another file's": "0\t0\n1\t4444\n2\t8888\n", "too short": "".join(lines[:5]), "no text": "?"}[stale]
    )
    source = opened(path)
    assert content(source) == as_text(FACES) and "made anew" in source.notes[0] and source.problems == []


def test_records_that_are_no_face_are_listed_and_the_others_read(tmp_path):
    image = FACES[0][1]
    contents = [labelled(label, image) for label in (0.0, 1.0, 5.0, -1.0, 0.5, float("nan"))]
    contents += [labelled(1.0, b""), b"short", labelled((1,) * 3, b"")[:30], labelled(0.0, b"no image")]
    source = opened(write_recordio(tmp_path / "a.rec", contents, people=2))
    assert [record.person for record in source.records] == ["0", "1", "0"] and len(source.problems) == 7
    words = " ".join(problem.detail for problem in source.problems)
    for said in ("label 5 is beyond the 2 people", "-1 is no person", "0.5 is no", "nan is no", "no image in it"):
        assert said in words
    with pytest.raises(ImageError, match="known format"):
        decode_image(source.read(source.records[2]), "x")


@pytest.mark.parametrize("index", [True, False])
def test_a_recordio_file_that_is_damaged_or_cut_short_loses_those_records_alone(tmp_path, index):
    path = write_recordio(tmp_path / "a.rec", insightface_contents(FACES), index)
    data = bytearray(path.read_bytes())
    starts = [at for at in range(0, len(data), 4) if data[at : at + 4] == MAGIC]
    data[starts[2]] ^= 1  # the second image's magic number
    data[starts[5] + 6] ^= 1  # the fifth image's length
    path.write_bytes(data[: starts[8] + 50])
    source = opened(path)
    assert content(source) == as_text([FACES[row] for row in (0, 2, 3, 5, 6)])
    if index:
        assert len(source.problems) == 4  # images 2, 5, 8 and 9
    assert sum("record" in problem.detail for problem in source.problems) >= 3
    assert "announces 9 images" in source.problems[-1].detail or index


def test_an_empty_class_is_said(tmp_path):
    source = opened(write_recordio(tmp_path / "a.rec", insightface_contents(FACES), people=5))
    assert "2 of the 5 people announced have no image" in source.notes[0]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("arrays", [True, False])
def test_verification_sets_of_all_protocols_give_images_pairs_and_ten_parts(tmp_path, protocol, arrays):
    pairs = [(encoded(2 * n), encoded(2 * n + 1), n % 2 == 0) for n in range(12)]
    source = opened(write_bin(tmp_path / "set", pairs, protocol, arrays))
    assert [source.read(record) for record in source.records] == [image for pair in pairs for image in pair[:2]]
    assert [pair.same for pair in source.pairs] == [same for *_, same in pairs]
    assert [pair.fold for pair in source.pairs] == [1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    names = [key for pair in source.pairs for key in pair.keys]
    assert names == [record.name for record in source.records]


def test_parts_are_those_of_scikit_learn():
    from sklearn.model_selection import KFold

    for count in (10, 23, 99, 6000):
        parts = [test for _, test in KFold(10).split(np.zeros(count))]
        assert [fold_of(pair, count) for pair in range(count)] == [n for n, part in enumerate(parts, 1) for _ in part]


def test_python_2_strings_numpy_booleans_and_arrays_of_booleans_are_read(tmp_path):
    one, two = encoded(1), encoded(2)
    images = b"(lp0\n" + b"".join(b"S" + repr(image)[1:].encode() + b"\na" for image in (one, two))
    (tmp_path / "a").write_bytes(b"\x80\x02" + images + b"(lp1\nI01\na\x86.")
    assert [source_image for _, source_image in content(opened(tmp_path / "a"))] == [one, two]
    row = np.frombuffer(one, np.uint8)[None]
    for same in ([np.True_], np.array([True]), [np.int64(1)]):
        (tmp_path / "a").write_bytes(pickle.dumps(([row, two], same), 4))
        assert [data for _, data in content(opened(tmp_path / "a"))] == [one, two]
        assert [pair.same for pair in opened(tmp_path / "a").pairs] == [True]


def test_equal_images_are_one_person_and_pairs_that_contradict_are_left_out(tmp_path):
    one, two, three = (encoded(n) for n in range(3))
    source = opened(write_bin(tmp_path / "a", [(one, two, True), (two, three, False), (one, two, False)]))
    assert len({record.person for record in source.records}) == 2 and len(source.pairs) == 2
    assert "1 pairs are said to show two people and one" in source.notes[0]


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "what",
    [
        Evil(os.system, "touch ran"),
        Evil(eval, "open('ran', 'w')"),
        Evil(bytearray, 10**15),
        Evil(getattr, "", "join"),
        Evil(subprocess.Popen, "touch ran"),
        np.dtype([("a", "u1")]),
        np.array([None, 1]),
        complex(1, 2),
        {1, 2},
    ],
)
def test_a_pickle_that_asks_for_more_runs_nothing_and_is_refused(tmp_path, monkeypatch, protocol, what):
    monkeypatch.chdir(tmp_path)
    for value in (([what, b""], [True]), what, ([b"", b""], [what])):
        (tmp_path / "a").write_bytes(pickle.dumps(value, protocol))
        try:
            source = opened(tmp_path / "a")
        except FormatError as error:
            assert "\n" not in str(error)
        else:
            assert value[0] == [what, b""]
            with pytest.raises(ImageError, match="no encoded image"):
                source.read(source.records[0])
    assert not (tmp_path / "ran").exists()


def test_wrong_elements_of_a_verification_set_are_listed_when_read(tmp_path):
    images = [encoded(1), None, np.zeros((2, 2), np.uint8), "text", encoded(2)]
    (tmp_path / "a").write_bytes(pickle.dumps((images, [True, False, True]), 4))
    source = opened(tmp_path / "a")
    assert len(source.pairs) == 2 and len(source.records) + len(source.problems) == 5
    assert "1 of 3 pairs lack their images" in source.notes[0]
    for row in (1, 2, 3):
        with pytest.raises(ImageError, match=f"image {row}: no encoded image"):
            source.read(source.records[row])


def test_the_real_verification_set_is_read(root):
    path = root.parent / "shared" / "formats" / "small_lfw.bin"
    if not path.is_file():
        pytest.skip("needs the real verification set in ../shared/formats")
    source = opened(path)
    assert len(source.records) == 20 and len(source.pairs) == 10
    assert all(decode_image(data, "x").shape == (112, 112, 3) for _, data in content(source))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives_of_folders_are_read_in_place(tmp_path, mode):
    files = [(f"lfw/person_{person}/{number}.png", image) for number, (person, image) in enumerate(FACES)]
    path = write_tar(tmp_path / "archive", [*files, ("lfw/readme.txt", b"hello"), ("lfw/.x.png", b"hidden")], mode)
    source = opened(path)
    assert recognise(path) == "tar" and "tar archive of folders, 9 images" in source.what
    assert content(source) == [(f"person_{person}", image) for person, image in FACES]


def test_zip_archives_of_folders_are_read_in_place(tmp_path):
    files = [(f"P_{person}/{number}.png", image) for number, (person, image) in enumerate(FACES)]
    source = opened(write_zip(tmp_path / "archive", [*files, ("__MACOSX/P_1/._1.png", b"?")]))
    assert content(source) == [(f"P_{person}", image) for person, image in FACES]
    flat = write_zip(tmp_path / "flat", [(name.replace("/", "-"), data) for name, data in files])
    assert {record.person for record in opened(flat, pattern=r"(.+?)-").records} == {"P_0", "P_1", "P_2"}


def test_files_that_an_archive_should_not_hold_are_listed_and_nothing_is_written(tmp_path):
    import io
    import tarfile

    good = [(f"P_{person}/{number}.png", image) for number, (person, image) in enumerate(FACES)]
    bad = [("../P_1/out.png", b"x"), ("/etc/P_1/x.png", b"x"), ("P_1/../../y.png", b"x"), good[0]]
    path = write_tar(tmp_path / "a.tar", good + bad)
    with tarfile.open(path, "a") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "P_1/s.png"),
            (tarfile.LNKTYPE, "P_1/h.png"),
            (tarfile.FIFOTYPE, "P_1/f.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO())
    before = sorted(tmp_path.rglob("*"))
    source = opened(path)
    assert content(source) == [(f"P_{person}", image) for person, image in FACES]
    said = [problem.detail.partition(": ")[2] for problem in source.problems]
    assert sum("climbs out" in each for each in said) == 3 and sum("a link to" in each for each in said) == 2
    assert sum("second file" in each for each in said) == 1 and sum("no plain file" in each for each in said) == 1
    assert sorted(tmp_path.rglob("*")) == before
    zipped = opened(write_zip(tmp_path / "a.zip", good + bad[:3]))
    assert len(zipped.records) == 9 and len(zipped.problems) == 3


def test_webdataset_shards_say_whose_a_sample_is(tmp_path):
    shards = tmp_path / "shards"
    shards.mkdir()
    for number, part in enumerate((FACES[:4], FACES[4:])):
        write_tar(shards / f"{number:05d}", samples(part))
    source = opened(shards)
    assert content(source) == as_text(FACES) and "2 files, the first a WebDataset shard, 4 images" in source.what
    extra = [
        ("a.png", FACES[0][1]),
        ("b.png", b"x"),
        ("b.jpg", b"y"),
        ("b.cls", b"1"),
        ("c.png", b"x"),
        ("c.json", b"{"),
    ]
    source = opened(write_tar(tmp_path / "b.tar", [*samples(FACES), *extra]))
    assert len(source.records) == 10 and len(source.problems) == 3
    said = " ".join(problem.detail for problem in source.problems)
    assert "no .cls or .json" in said and "second image of the key b" in said and ".json cannot be read" in said


def test_a_sample_is_of_the_same_person_whatever_editor_wrote_its_label(tmp_path):
    labels = [("Zoë", encoding) for encoding in ("utf-8", "utf-8-sig", "utf-16")]
    files = [(f"{number}.cls", f"{name}\r\n".encode(encoding)) for number, (name, encoding) in enumerate(labels)]
    files += [(f"{number}.png", image) for number, (_, image) in enumerate(FACES[:3])]
    source = opened(write_tar(tmp_path / "a.tar", files), "webdataset")
    assert [record.person for record in source.records] == ["Zoë"] * 3


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("names", [None, ["Ann", "Bob", "Cy"]])
def test_parquet_is_read_with_bare_and_wrapped_images_and_names_of_classes(tmp_path, bare, names):
    pytest.importorskip("pyarrow")
    source = opened(write_parquet(tmp_path / "a", FACES, names, bare))
    assert content(source) == [(names[person] if names else str(person), image) for person, image in FACES]
    text = opened(write_parquet(tmp_path / "b", [(f"P {person}", image) for person, image in FACES]))
    assert {record.person for record in text.records} == {"P 0", "P 1", "P 2"}


def test_parquet_rows_without_a_person_or_an_image_are_listed(tmp_path):
    pytest.importorskip("pyarrow")
    source = opened(
        write_parquet(tmp_path / "a", [*FACES, (3, b"x"), (-1, b"x"), (None, b"x"), (0, None)], ["a", "b", "c"])
    )
    assert len(source.records) == 10 and len(source.problems) == 3
    assert "label 3 is beyond the 3 classes" in source.problems[0].detail
    with pytest.raises(ImageError, match="no image in it"):
        source.read(source.records[-1])
    import pyarrow
    from pyarrow import parquet

    for columns, said in (({"label": [1]}, "without images"), ({"image": [b"x"]}, "no column says whose")):
        parquet.write_table(pyarrow.table(columns), tmp_path / "b")
        with pytest.raises(FormatError, match=said):
            opened(tmp_path / "b")


def landmark_lines(names, pattern="{name} {numbers}"):
    numbers = " ".join(f"{value:.1f}" for point in ARCFACE_TEMPLATE for value in point)
    return "".join(pattern.format(name=name, numbers=numbers) + "\n" for name in names)


CELEBA_HEADER = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)


@pytest.mark.parametrize("deep", [True, False])
def test_celebas_folder_gives_people_landmarks_and_parts(tmp_path, deep):
    images = tmp_path / ("Img/img_align_celeba" if deep else "img_align_celeba")
    lists = tmp_path / ("Anno" if deep else ".")
    lists.mkdir(exist_ok=True)
    names = write_folder(images, FACES, "{number:06d}.png")
    (lists / "a.txt").write_text("".join(f"{name} {40 + p}\n" for name, (p, _) in zip(names, FACES, strict=True)))
    with (lists / "a.txt").open("a") as file:
        file.write("999999.png 7\n")
    (lists / "b_align.txt").write_text(f"9\n{CELEBA_HEADER}\n" + landmark_lines(names))
    (lists / "c.txt").write_text("".join(f"{name} {p}\n" for name, (p, _) in zip(names, FACES, strict=True)))
    (images / "000042.png").write_bytes(b"x")
    source = opened(tmp_path)
    assert recognise(tmp_path) == "celeba"
    assert content(source) == [(str(40 + person), image) for person, image in FACES]
    assert [record.split for record in source.records] == [("train", "val", "test")[person] for person, _ in FACES]
    assert all(np.allclose(record.landmarks, ARCFACE_TEMPLATE, atol=0.06) for record in source.records)
    assert "1 of the 10 images" in source.notes[0] and "does not say whose" in source.problems[0].detail


def test_of_celebas_two_lists_of_landmarks_the_one_of_the_images_is_taken(tmp_path):
    names = write_folder(tmp_path / "img_celeba", FACES, "{number:06d}.png")
    (tmp_path / "identity_CelebA.txt").write_text("".join(f"{name} 9\n" for name in names))
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(f"9\n{CELEBA_HEADER}\n" + landmark_lines(names))
    wild = landmark_lines(names).replace("38.3", "39.9")
    (tmp_path / "list_landmarks_celeba.txt").write_text(f"9\n{CELEBA_HEADER}\n" + wild)
    assert opened(tmp_path).records[0].landmarks[0, 0] == 39.9
    write_folder(tmp_path / "img_align_celeba", FACES, "{number:06d}.png")
    source = opened(tmp_path)
    assert source.records[0].landmarks[0, 0] == 38.3 and source.records[0].name.startswith("img_align_celeba/")


def test_vggface2s_folders_are_read_with_their_landmarks(tmp_path):
    names = write_folder(tmp_path / "train", FACES, "n{person:06d}/{number:04d}_01.png")
    (tmp_path / "bb").mkdir()
    csv = landmark_lines([f'"{name[:-4]}"' for name in names[:-1]]).replace(" ", ",")
    (tmp_path / "bb/some.csv").write_text("NAME_ID," + ",".join(f"P{n}X,P{n}Y" for n in range(1, 6)) + "\n" + csv)
    source = opened(tmp_path)
    assert recognise(tmp_path) == "landmarked" and "landmarks of 8 of 9 images" in source.what
    assert content(source) == [(f"n{person:06d}", image) for person, image in FACES]


@pytest.mark.parametrize("pattern", ["{name} 7 {numbers}", "{name}\t{numbers}"])
def test_casias_folders_are_read_with_their_landmarks(tmp_path, pattern):
    names = write_folder(tmp_path / "CASIA", FACES)
    (tmp_path / "casia.txt").write_text(landmark_lines(names, pattern))
    source = opened(tmp_path)
    assert content(source) == [(f"{person:07d}", image) for person, image in FACES]
    assert all(np.allclose(record.landmarks, ARCFACE_TEMPLATE, atol=0.06) for record in source.records)


def test_a_folder_of_an_insightface_release_is_its_records_not_its_verification_sets(tmp_path):
    write_recordio(tmp_path / "train.rec", insightface_contents(FACES), people=3)
    write_bin(tmp_path / "lfw.bin", [(FACES[0][1], FACES[1][1], True)])
    assert content(opened(tmp_path)) == as_text(FACES)
    assert len(opened(tmp_path, "bin").records) == 2


def test_a_format_that_is_forced_must_be_there(tmp_path):
    path = write_zip(tmp_path / "a", [("P/1.png", b"x")])
    with pytest.raises(FormatError, match="--format recordio, but its content is no such"):
        opened(path, "recordio")
    (tmp_path / "b").write_bytes(b"hello")
    with pytest.raises(FormatError, match="no file of a known format"):
        opened(tmp_path / "b")
    for shards in ("c/1", "c/2"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (write_zip if shards[-1] == "1" else write_tar)(tmp_path / shards, [("P/1.png", b"x")])
    with pytest.raises(FormatError, match="files of several formats"):
        opened(tmp_path / "c")


def test_an_archive_without_images_says_what_is_in_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("p/notes.txt", b"hello"), ("p/._a.jpg", b"x")])
    with pytest.raises(LayoutError, match=r"archive without images .*passed over 1 .txt, 1 hidden.*check the path"):
        open_source(path, "auto", None)
