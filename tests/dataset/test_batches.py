from pathlib import Path

import pytest
import torch

from dataset.batches import LowResolutionBatches, View
from dataset.store import FaceStore
from dataset.views.augment import blend, flip_some, jitter
from dataset.views.degrade import enlarge, shrink

CPU = torch.device("cpu")


@pytest.fixture
def store(dataset_root: Path) -> FaceStore:
    return FaceStore.open(dataset_root / "train_processed")


def test_a_batch_is_a_function_of_seed_epoch_and_index(store: FaceStore) -> None:
    view = View(jitter=1.0, blend=0.5, hr_share=0.2, degradation="real")
    one, two = LowResolutionBatches(store, 8, view, 3, CPU), LowResolutionBatches(store, 8, view, 3, CPU)
    one.at(0, 0)
    assert torch.equal(one.at(1, 2).canvas, two.at(1, 2).canvas)
    assert not torch.equal(one.at(1, 1).canvas, one.at(1, 2).canvas)
    other = LowResolutionBatches(store, 8, view, 4, CPU)
    assert not torch.equal(other.at(1, 2).canvas, one.at(1, 2).canvas)


@pytest.mark.parametrize("view", [View(), View(jitter=1.0, blend=0.5, hr_share=0.25, degradation="real")])
def test_the_shares_of_two_processes_are_the_batch_of_one(store: FaceStore, view: View) -> None:
    whole = LowResolutionBatches(store, 8, view, 0, CPU).at(0, 1)
    parts = [LowResolutionBatches(store, 8, view, 0, CPU, rank, 2).at(0, 1) for rank in range(2)]
    for name in ("faces", "canvas", "sizes_px", "person", "rows", "mirrored"):
        joined = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(joined, getattr(whole, name), atol=1e-5, rtol=0)


def test_each_canvas_is_its_face_shrunk_to_its_size_and_enlarged(store: FaceStore) -> None:
    batch = LowResolutionBatches(store, 8, View(6, 32), 0, CPU).at(0, 0)
    for face, canvas, size in zip(batch.faces, batch.canvas, batch.sizes_px, strict=True):
        assert 6 <= int(size) <= 32
        difference = (enlarge(shrink(face[None], int(size)))[0] - canvas).abs()
        assert difference.mean() < 1e-3


def test_full_size_faces_are_shown_as_they_are(store: FaceStore) -> None:
    batch = LowResolutionBatches(store, 24, View(hr_share=0.5), 0, CPU).at(0, 0)
    full = batch.sizes_px == 112
    assert 0 < full.sum() < 24 and torch.equal(batch.canvas[full], batch.faces[full])


def test_rows_people_and_mirrors_belong_to_the_faces(store: FaceStore) -> None:
    batch = LowResolutionBatches(store, 8, View(), 0, CPU).at(0, 0)
    faces = store.batch(batch.rows.numpy()).float() / 255
    torch.testing.assert_close(flip_some(faces, batch.mirrored), batch.faces)
    assert batch.person.tolist() == store.person[batch.rows.numpy()].tolist()
    straight = LowResolutionBatches(store, 8, View(mirror=False), 0, CPU).at(0, 0)
    assert not straight.mirrored.any() and batch.mirrored.any()


def test_a_blend_is_the_person_who_shows_most(store: FaceStore) -> None:
    batches = LowResolutionBatches(store, 8, View(blend=1.0), 0, CPU)
    black, white = torch.zeros(8, 3, 112, 112), torch.ones(8, 3, 112, 112)
    shares = []
    for epoch in range(4):
        batch = batches.at(epoch, 0)
        draws = batches._draw(batch.rows, (epoch, 0))
        shares.append(blend(black, white, draws["mask"]).mean((1, 2, 3)))
        shown = torch.where(shares[-1] > 0.5, draws["partners"], batch.rows)
        assert torch.equal(batch.person, torch.from_numpy(store.person[shown.numpy()]))
    assert 4 < (torch.cat(shares) > 0.5).sum() < 28


def test_patches_are_hidden_in_small_faces_alone(store: FaceStore) -> None:
    whole = LowResolutionBatches(store, 8, View(hr_share=0.5, cutout=1.0), 0, CPU).at(0, 0)
    seen = LowResolutionBatches(store, 8, View(hr_share=0.5), 0, CPU).at(0, 0)
    changed = (whole.canvas != seen.canvas).flatten(1).any(1)
    assert torch.equal(changed, whole.sizes_px < 112) and changed.any() and not changed.all()


def test_small_sizes_come_more_often_when_asked(store: FaceStore) -> None:
    def mean(view: View) -> float:
        batches = LowResolutionBatches(store, 24, view, 0, CPU)
        return float(torch.cat([batches.at(epoch, 0).sizes_px for epoch in range(20)]).float().mean())

    assert mean(View()) == pytest.approx(19, abs=1.5)
    assert mean(View(small_bias=True)) == pytest.approx(27 / sum(1 / size for size in range(6, 33)), abs=1.5)


def test_augmentation_of_strength_zero_changes_nothing() -> None:
    faces, draws = torch.rand(3, 3, 112, 112), torch.rand(3, 7)
    torch.testing.assert_close(jitter(faces, draws, 0.0), faces, atol=1e-4, rtol=0)
    assert (jitter(faces, draws, 1.0) - faces).abs().mean() > 0.01
    assert torch.equal(blend(faces, faces.flip(0), torch.zeros(3, 1, 3, 3)), faces)
    torch.testing.assert_close(blend(faces, faces.flip(0), torch.ones(3, 1, 3, 3)), faces.flip(0))
