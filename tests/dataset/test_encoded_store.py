"""Training faces that stay compressed: the same batches as those of pixels, whoever decodes them."""

import gc
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from dataset.batches import LowResolutionBatches, View
from dataset.check import main as check
from dataset.joined_store import open_training
from dataset.prepare import main as prepare
from dataset.store import FaceStore
from dataset.store_files import StoreError
from dsr.train_dsr import main as train_dsr
from engine.checkpoint import load_checkpoint
from pipeline.evaluation.faces import open_split
from tests.dataset.field_files import encoded, insightface_contents, pictures, write_folder, write_recordio

KINDS = ("raw", "encoded", "source")
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
HEADER = ",".join(["image", *(f"{point}_{axis}" for point in POINTS for axis in "xy")])
CPU = torch.device("cpu")
FACES = [
    (person, encoded(10 * person + photo, kind=kind))
    for person in range(8)
    for photo, kind in enumerate(("PNG", "JPEG", "PNG"))
]


def call(main, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    gc.collect()
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The same `.rec` prepared in each way."""
    root = tmp_path_factory.mktemp("encoded")
    write_recordio(root / "set.rec", insightface_contents(FACES))
    for kind in KINDS:
        given = [root / "set.rec", "--out", root / kind, "--store", kind, "--split", "60,40,0", "--vlr-sizes", "8"]
        assert call(prepare, *given) == 0
    return root


def train(sets, kind):
    return FaceStore.open(sets / kind / "train_processed")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_faces_names_and_people_are_those_of_the_pixels(sets, kind):
    raw, other = train(sets, "raw"), train(sets, kind)
    assert (other.kind, len(other)) == (kind, len(raw)) and other.faces.shape == raw.faces.shape
    assert list(other.images) == list(raw.images) and other.person.tolist() == raw.person.tolist()
    rows = np.random.default_rng(0).permutation(len(raw))
    assert torch.equal(other.batch(rows), raw.batch(rows)) and np.array_equal(other.faces[3], raw.faces[3])
    assert np.array_equal(other.faces[:], raw.faces[:])
    with pytest.raises(IndexError):
        other.batch([len(raw)])


def test_images_are_kept_as_they_were_compressed_or_not_copied_at_all(sets):
    packed = (sets / "encoded" / "train_processed" / "faces.images").read_bytes()
    kept = [image for _, image in FACES if image in packed]
    assert len(kept) == len(train(sets, "raw")) and sum(map(len, kept)) == len(packed)
    names = {each.name for each in (sets / "source" / "train_processed").iterdir()}
    assert names == {"faces.offsets", "faces.index", "faces.json", "index.csv"}
    for kind in KINDS[1:]:
        assert (sets / kind / "val_processed" / "hr_images").is_dir()
        assert (sets / kind / "val_processed" / "vlr_images" / "8px").is_dir()


def test_photographs_that_are_aligned_stay_as_their_aligned_faces(tmp_path):
    names = write_folder(tmp_path / "photos", pictures(people=4, photos=2, size=(200, 200)))
    places = "70,90,130,90,100,120,80,150,120,150"
    (tmp_path / "landmarks.csv").write_text("\n".join([HEADER, *(f"{name},{places}" for name in names)]))
    found = []
    for kind in KINDS[:2]:
        given = ["--out", tmp_path / kind, "--landmarks", tmp_path / "landmarks.csv", "--store", kind]
        assert call(prepare, tmp_path / "photos", *given, "--split", "1,0,0", "--vlr-sizes", "none") == 0
        found.append(train(tmp_path, kind).batch(range(8)))
    assert torch.equal(*found)


@pytest.mark.parametrize("view", [View(), View(jitter=1.0, blend=0.5, hr_share=0.25, degradation="real")])
def test_batches_are_the_same_for_every_kind_and_any_number_of_processes_that_read(sets, view):
    def batches(kind, readers, rank=0, world=1):
        return LowResolutionBatches(open_training([sets / kind], None, readers), 4, view, 0, CPU, rank, world)

    raw = batches("raw", 0)
    for kind, readers in (("encoded", 0), ("source", 0), ("encoded", 2), ("source", 1)):
        other = batches(kind, readers)
        for epoch, index in ((0, 0), (0, 1), (0, 2), (2, 1), (0, 1)):  # on, and elsewhere as after an interruption
            one, two = raw.at(epoch, index).tensors(), other.at(epoch, index).tensors()
            assert all(torch.equal(one[name], two[name]) for name in one)
    shares = [batches("encoded", 1, rank, 2).at(1, 0) for rank in range(2)]
    torch.testing.assert_close(torch.cat([each.faces for each in shares]), raw.at(1, 0).faces)


def test_a_training_is_the_same_from_pixels_and_from_images_and_interrupted_with_other_readers(
    sets, edgeface_file, tmp_path, monkeypatch
):
    plain = (
        "--device cpu --precision fp32 --preset small --batch 4 --epochs 2 --warmup 2 --feature 0 --validate-every 2"
    )

    def run(kind, out, readers):
        places = ["--dataset", sets / kind, "--out", tmp_path / out, "--readers", readers, "--edgeface", edgeface_file]
        return call(train_dsr, *plain.split(), *places)

    assert run("raw", "raw", 0) == 0
    original = LowResolutionBatches.at

    def interrupted(self, epoch, index):
        if (epoch, index) == (0, 2):
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, epoch, index)

    with monkeypatch.context() as patch:
        patch.setattr(LowResolutionBatches, "at", interrupted)
        assert run("encoded", "encoded", 1) == 130
    assert run("encoded", "encoded", 0) == 0
    one, two = (load_checkpoint(tmp_path / kind / "last.pth", "dsr-training")["model"] for kind in KINDS[:2])
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_check_and_evaluations_read_them(sets, kind, capsys):
    assert call(check, sets / kind, "--json") == 0
    split = open_split(sets / kind / "train_processed")
    views = split.views(np.arange(3), 112)
    assert np.array_equal(np.stack(views), train(sets, "raw").faces[:3])


def test_another_kind_of_store_is_another_data_set(sets, capsys):
    given = [sets / "set.rec", "--split", "60,40,0", "--vlr-sizes", "8"]
    assert call(prepare, *given, "--out", sets / "encoded") == 2
    assert 'made differently (store: "encoded" there, null now)' in capsys.readouterr().err
    assert call(prepare, *given, "--out", sets / "raw", "--store", "source") == 2
    assert 'made differently (store: null there, "source" now)' in capsys.readouterr().err


def damaged(sets, kind, tmp_path):
    """A copy of a data set and its `.rec`, to be damaged."""
    write_recordio(tmp_path / "set.rec", insightface_contents(FACES))
    given = [tmp_path / "set.rec", "--out", tmp_path / kind, "--store", kind, "--split", "60,40,0"]
    assert call(prepare, *given, "--vlr-sizes", "none") == 0
    return tmp_path / kind / "train_processed"


def test_what_is_cut_short_moved_or_changed_is_named(sets, tmp_path):
    folder = damaged(sets, "encoded", tmp_path)
    images = folder / "faces.images"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"faces.images: .* expected exactly"):
        FaceStore.open(folder)
    images.write_bytes(b"\0" * 40 + whole[40:])
    store = FaceStore.open(folder)
    for readers in (0, 1):
        store.decode_ahead(readers)
        store.expect(np.array([0, 1]))
        with pytest.raises(StoreError, match="the image of row 0 is damaged"):
            store.batch([1, 0])
    with pytest.raises(StoreError, match=r"faces.images: damaged, its checksum"):
        store.verify()
    (folder / "faces.offsets").unlink()
    with pytest.raises(StoreError, match=r"faces.offsets: missing"):
        FaceStore.open(folder)


def test_a_source_that_is_gone_or_another_is_named(sets, tmp_path):
    folder = damaged(sets, "source", tmp_path)
    record = tmp_path / "set.rec"
    FaceStore.open(folder).verify()
    data = bytearray(record.read_bytes())
    face = next(image for _, image in FACES if image == FaceStore.open(folder)._encoded._read(0))
    data[data.find(face) + len(face) // 2] ^= 1
    record.write_bytes(data)
    with pytest.raises(StoreError, match="its images are not those"):
        FaceStore.open(folder).verify()
    record.write_bytes(data + b"\0" * 4)
    with pytest.raises(StoreError, match=r"set.rec: \d+ bytes where there were \d+, and the faces of"):
        FaceStore.open(folder)
    record.unlink()
    with pytest.raises(StoreError, match=r"set.rec: not there"):
        FaceStore.open(folder)


def test_a_process_that_is_killed_ends_the_reading_in_one_line(sets):
    store = train(sets, "encoded")
    store.decode_ahead(1)
    store.expect(np.array([0]))
    store.batch([0])
    process = next(iter(store._encoded._pool._processes.values()))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    time.sleep(0.2)
    with pytest.raises(StoreError, match="--readers: one of them was ended from outside"):
        store.expect(np.array([1]))
        store.batch([1])


def test_source_is_for_one_rec_of_aligned_faces(tmp_path, capsys):
    write_folder(tmp_path / "photos", pictures(people=4, photos=2))
    write_recordio(tmp_path / "large.rec", insightface_contents(pictures(people=4, photos=2, size=(120, 112))))
    assert call(prepare, tmp_path / "photos", "--out", tmp_path / "out", "--store", "source") == 2
    assert "is not one .rec; pass --store encoded" in capsys.readouterr().err
    lines = [f"{number:08d},38,51,73,51,56,71,41,92,70,92" for number in range(1, 9)]
    (tmp_path / "landmarks.csv").write_text("\n".join([HEADER, *lines]))
    given = [
        "--out",
        tmp_path / "out",
        "--store",
        "source",
        "--split",
        "1,0,0",
        "--landmarks",
        tmp_path / "landmarks.csv",
    ]
    assert call(prepare, tmp_path / "large.rec", *given) == 2
    assert "no aligned face of 112x112 as it stands there; pass --store encoded" in capsys.readouterr().err
    assert not (tmp_path / "out" / "train_processed").exists()
