"""Several data sets as one: whose faces they are, in which order they are shown, what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.batches import LowResolutionBatches, View
from dataset.joined_store import UNKNOWN, JoinedStore, JoinError, open_training, open_validation
from dataset.store import FaceStore
from dataset.store_files import StoreError
from dataset.store_writer import StoreWriter

CPU = torch.device("cpu")


def folder(root: Path, people: dict[str, int], labelled: bool = True, split: str = "train", seed: int = 0) -> Path:
    """A data set with a split of these many photographs of each person; every face has one colour of its own."""
    draw = np.random.default_rng(seed)
    with StoreWriter(root / f"{split}_processed", labelled) as writer:
        for person, count in people.items():
            for number in range(count):
                face = np.broadcast_to(draw.integers(0, 256, 3, np.uint8), (112, 112, 3))
                writer.add(face, f"{person}/{number}.png", person)
    return root


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    known = folder(tmp_path / "known", {"Ann": 3, "Bo": 2})
    folder(known, {"Eve": 2, "Fay": 2}, split="val", seed=9)
    strangers = folder(tmp_path / "strangers", {"unlabelled": 7}, labelled=False, seed=1)
    return [known, strangers, folder(tmp_path / "more", {"Ann": 4}, seed=2)]


def epoch(batches: LowResolutionBatches, number: int) -> list[int]:
    return [int(row) for index in range(len(batches)) for row in batches.at(number, index).rows]


def test_rows_are_those_of_each_store_in_turn_and_names_alike_are_different_people(sets: list[Path]) -> None:
    joined = open_training(sets)
    stores = [FaceStore.open(root / "train_processed") for root in sets]
    assert len(joined) == 16 and [len(store) for store in stores] == [5, 7, 4]
    assert torch.equal(joined.batch(range(16)), torch.cat([store.batch(range(len(store))) for store in stores]))
    assert joined.batch([15, 0, 6]).is_contiguous(memory_format=torch.channels_last)
    assert joined.person.tolist() == [0, 0, 0, 1, 1, *[UNKNOWN] * 7, 2, 2, 2, 2]
    assert list(joined.people) == ["1/Ann", "1/Bo", "3/Ann"]


def test_one_data_set_of_known_people_is_trained_on_as_ever(sets: list[Path]) -> None:
    assert isinstance(open_training(sets[:1]), FaceStore)
    alone = open_training(sets[1:2])
    assert isinstance(alone, JoinedStore) and not alone.people and set(alone.person.tolist()) == {UNKNOWN}


def test_without_shares_an_epoch_shows_every_face_once(sets: list[Path]) -> None:
    batches = LowResolutionBatches(open_training(sets), 4, View(), 0, CPU)
    assert sorted(epoch(batches, 0)) == sorted(epoch(batches, 1)) == list(range(16))
    assert epoch(batches, 0) != epoch(batches, 1)


def test_shares_say_how_much_of_an_epoch_each_is_and_every_face_has_its_turn(sets: list[Path]) -> None:
    batches = LowResolutionBatches(open_training(sets, "2,1,1"), 4, View(), 0, CPU)
    shown = [Counter(epoch(batches, number)) for number in range(7)]
    for faces in shown:
        parts = [sum(count for row, count in faces.items() if first <= row < end) for first, end in ((0, 5), (5, 12))]
        assert parts == [8, 4] and faces.total() == 16
    whole = sum(shown, Counter())  # in seven epochs 56 of 5, 28 of 7 and 28 of 4 faces
    assert {whole[row] for row in range(5)} == {11, 12}
    assert {whole[row] for row in range(5, 12)} == {4} and {whole[row] for row in range(12, 16)} == {7}
    assert any(count == 1 for count in shown[0].values()) and shown[0] != shown[1]


def test_each_batch_of_shared_sets_is_a_function_of_its_place_for_any_number_of_processes(sets: list[Path]) -> None:
    view = View(jitter=1.0, blend=0.5, hr_share=0.25)

    def at(rank: int = 0, world: int = 1, before: tuple[int, int] | None = None):
        batches = LowResolutionBatches(open_training(sets, "1,5,1"), 4, view, 3, CPU, rank, world)
        if before:
            batches.at(*before)
        return batches.at(2, 1)

    whole = at(before=(0, 3))
    assert torch.equal(whole.canvas, at().canvas)
    for world in (2, 4):
        parts = [at(rank, world) for rank in range(world)]
        for name in ("rows", "person", "sizes_px", "faces"):
            torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_a_share_too_small_for_a_face_shows_one_and_a_tiny_set_begins_anew(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "a", {"Ann": 1}), folder(tmp_path / "b", {"Bo": 9}, seed=1)
    rows = open_training([one, two], "0.001,1").of_epoch(0, 0)
    assert sorted(rows.tolist()) == list(range(10))
    rows = open_training([one, two], "9,1").of_epoch(0, 5)
    assert rows.tolist().count(0) == 9 and len(rows) == 10


def test_what_they_hold_and_their_order_identify_data_sets_and_where_they_lie_does_not(
    sets: list[Path], tmp_path: Path
) -> None:
    before = open_training(sets).sha256
    moved = (tmp_path / "known").rename(tmp_path / "elsewhere")
    assert open_training([moved, *sets[1:]]).sha256 == before
    assert open_training([sets[1], moved, sets[2]]).sha256 != before
    folder(sets[1], {"unlabelled": 7}, labelled=True, seed=1)
    assert open_training([moved, *sets[1:]]).sha256 != before


def test_validation_faces_are_those_of_the_first_that_has_some(sets: list[Path]) -> None:
    assert open_validation([sets[1], sets[0]]).path == sets[0] / "val_processed"
    folder(sets[2], {"Gus": 2}, split="val")
    assert open_validation([sets[1], sets[2], sets[0]]).path == sets[2] / "val_processed"


@pytest.mark.parametrize(
    ("chosen", "shares", "said"),
    [
        ([], None, "at least one"),
        ([0, 1, 0], None, "the same faces as"),
        ([0, 1], "1", r"a number above 0 for each --dataset \(2 now\)"),
        ([0, 1], "1,0", "a number above 0"),
        ([0, 1], "1,nan", "a number above 0"),
        ([0, 1], "1;2", "a number above 0"),
    ],
)
def test_what_cannot_be_joined_is_refused(sets: list[Path], chosen: list[int], shares: str | None, said: str) -> None:
    with pytest.raises(JoinError, match=said):
        open_training([sets[each] for each in chosen], shares)


def test_validating_on_nobody_is_refused(sets: list[Path], tmp_path: Path) -> None:
    for folders in (sets[1:2], sets[1:]):
        with pytest.raises(JoinError, match="nobody to validate on"):
            open_validation(folders)
    with pytest.raises(StoreError, match="no packed faces"):
        open_validation(sets[2:])
    folder(tmp_path / "known", {"unlabelled": 2}, labelled=False, split="val")
    with pytest.raises(JoinError, match="faces without people"):
        open_validation(sets)


def test_a_store_that_says_otherwise_of_its_people_than_when_it_was_written_is_damaged(sets: list[Path]) -> None:
    header = sets[1] / "train_processed" / "faces.json"
    FaceStore.open(header).verify()
    header.write_text(header.read_text().replace('"labelled": false', '"labelled": true'))
    with pytest.raises(StoreError, match="checksum"):
        FaceStore.open(header).verify()
