import json

import numpy as np
import pytest
import torch

from dataset.store import FaceStore
from dataset.store_files import StoreError


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), np.uint8)


IMAGES = ["Zoë/a 1.png", "Zoë/b,2.png", "Al/c.png", "Al/d.png", "Bo/e.png"]
PEOPLE = ["Zoë", "Zoë", "Al", "Al", "Bo"]


@pytest.fixture
def store(tmp_path, faces):
    return FaceStore.build(tmp_path, iter(faces), IMAGES, PEOPLE)


def test_a_store_gives_back_faces_names_and_people(store, faces, tmp_path):
    for opened in (store, FaceStore.open(tmp_path), FaceStore.open(tmp_path / "faces.u8")):
        assert len(opened) == 5
        assert list(opened.images) == IMAGES
        assert opened.images[1:3] == IMAGES[1:3] and opened.images[-1] == IMAGES[-1]
        assert list(opened.people) == ["Al", "Bo", "Zoë"]
        assert [opened.people[number] for number in opened.person] == PEOPLE
        assert np.array_equal(opened.faces, faces)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_a_batch_is_uint8_rgb_in_the_order_asked_for(store, faces, kind):
    batch = store.batch(kind([3, 0, 3]))
    assert batch.dtype == torch.uint8 and batch.shape == (3, 3, 112, 112)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(batch.permute(0, 2, 3, 1).numpy(), faces[[3, 0, 3]])


def test_a_row_that_is_not_there_is_an_index_error(store):
    with pytest.raises(IndexError):
        store.batch([5])
    with pytest.raises(IndexError):
        store.images[5]


def test_the_hash_depends_on_pixels_names_and_people(store, faces, tmp_path):
    again = FaceStore.build(tmp_path / "same", faces, IMAGES, PEOPLE)
    renamed = FaceStore.build(tmp_path / "renamed", faces, ["x.png", *IMAGES[1:]], PEOPLE)
    others = FaceStore.build(tmp_path / "others", faces, IMAGES, ["Xi", *PEOPLE[1:]])
    darker = FaceStore.build(tmp_path / "darker", faces // 2, IMAGES, PEOPLE)
    assert again.sha256 == store.sha256
    assert len({each.sha256 for each in (store, renamed, others, darker)}) == 4


@pytest.mark.parametrize("name", ["faces.u8", "faces.index"])
def test_a_flipped_bit_is_found_by_verify_and_named(store, tmp_path, name):
    store.verify()
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=f"{name}: damaged"):
        FaceStore.open(tmp_path).verify()


@pytest.mark.parametrize("cut", [1, 20])
def test_names_that_are_cut_short_are_refused_at_once(store, tmp_path, cut):
    path = tmp_path / "faces.index"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(StoreError, match=r"faces\.index: \d+ bytes, expected exactly"):
        FaceStore.open(tmp_path)


def test_a_name_that_is_no_text_is_refused_when_it_is_read(store, tmp_path):
    path = tmp_path / "faces.index"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    opened = FaceStore.open(tmp_path)
    assert opened.people[1] == "Bo"
    with pytest.raises(StoreError, match=r"faces\.index: damaged, the name of person 2 is no text"):
        list(opened.people)


def test_a_face_of_a_person_who_is_not_there_is_refused_at_once(store, tmp_path):
    path = tmp_path / "faces.index"
    for number in (3, -1):
        path.write_bytes(np.int64(number).tobytes() + path.read_bytes()[8:])
        with pytest.raises(StoreError, match=r"faces\.index: damaged, a face has a person"):
            FaceStore.open(tmp_path)


def test_names_that_end_before_they_begin_are_refused_at_once(store, tmp_path):
    path = tmp_path / "faces.index"
    data = bytearray(path.read_bytes())
    ends = 8 * (2 * len(store)), 8 * (2 * len(store) + 1 + len(store.people))
    for at, change in zip(ends, (-1000, 1000), strict=True):
        data[at : at + 8] = (int.from_bytes(data[at : at + 8], "little") + change).to_bytes(8, "little", signed=True)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"faces\.index: damaged, names end before they begin"):
        FaceStore.open(tmp_path)


def test_a_changed_description_is_found_by_verify(store, tmp_path):
    path = tmp_path / "faces.json"
    header = json.loads(path.read_text())
    header["sha256"] = "0" * 64
    path.write_text(json.dumps(header))
    with pytest.raises(StoreError, match=r"faces\.json: damaged"):
        FaceStore.open(tmp_path).verify()


@pytest.mark.parametrize("name", ["faces.u8", "faces.index"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_missing_or_short_file_is_refused_at_once(store, tmp_path, name, damage):
    path = tmp_path / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StoreError, match=name):
        FaceStore.open(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "size_px": 112, "count": 0, "people": 1, "files": {}, "sha256": ""}',
        '{"version": 2, "size_px": 112, "count": 5, "people": "?", "files": {}, "sha256": ""}',
        '{"version": 2, "size_px": 112, "count": 5, "people": 3}',
        '{"version": 1, "size_px": 112, "count": 1, "people": ["Al"], "files": {}, "sha256": ""}',
    ],
)
def test_another_description_is_refused(store, tmp_path, text):
    (tmp_path / "faces.json").write_text(text)
    with pytest.raises(StoreError, match=r"faces\.json"):
        FaceStore.open(tmp_path)


def test_a_folder_without_a_store_says_how_to_make_one(tmp_path):
    with pytest.raises(StoreError, match="python -m dataset prepare"):
        FaceStore.open(tmp_path / "nowhere")


def test_building_stops_at_a_wrong_shape_or_count_and_leaves_no_store(tmp_path, faces):
    for wrong in (faces[:4], faces[:, :100], faces.astype(np.float32)):
        with pytest.raises(StoreError):
            FaceStore.build(tmp_path, wrong, IMAGES, PEOPLE)
        with pytest.raises(StoreError, match="no packed faces"):
            FaceStore.open(tmp_path)
    with pytest.raises(StoreError, match="0 images"):
        FaceStore.build(tmp_path, [], [], [])
