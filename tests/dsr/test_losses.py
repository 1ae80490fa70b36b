import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.store import FaceStore
from dataset.views.augment import displace
from dsr.losses import LossWeights, RestorationLoss, feature_loss, pixel_loss, tv_loss, vgg_distance
from engine.errors import UserError
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetuning.bank import memory_bank
from facial_rec.finetuning.embedding_losses import contrastive_loss, effective_rank, identity_loss, relational_loss
from facial_rec.finetuning.hr_targets import HrTargets


def unit(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)))


def test_identity_loss_is_one_minus_the_mean_cosine() -> None:
    a, b = unit(5, 0), unit(5, 1)
    naive = sum(1 - float(torch.dot(x, y)) for x, y in zip(a, b, strict=True)) / 5
    assert float(identity_loss(a, b)) == pytest.approx(naive, abs=1e-6)
    assert float(identity_loss(a, a)) == pytest.approx(0, abs=1e-6)


def test_contrastive_loss_follows_the_naive_formula_and_spares_the_same_person() -> None:
    e, t, people = unit(4, 0), unit(4, 1), [0, 1, 1, 2]
    total = 0.0
    for i in range(4):
        own = math.exp(float(e[i] @ t[i]) / 0.1)
        others = sum(math.exp(float(e[i] @ t[j]) / 0.1) for j in range(4) if people[j] != people[i])
        total -= math.log(own / (own + others)) / 4
    person = torch.tensor(people)
    found = contrastive_loss(e, t, t, person[:, None] == person[None, :], temperature=0.1)
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_relational_loss_is_zero_only_where_similarities_agree() -> None:
    e, t = unit(4, 0), unit(4, 1)
    naive = sum(float((e[i] - t[i]) @ t[j]) ** 2 for i in range(4) for j in range(4)) / 16
    assert float(relational_loss(e, t, t)) == pytest.approx(naive, rel=1e-4)
    assert float(relational_loss(t, t, t)) == 0


def test_effective_rank_counts_directions() -> None:
    assert effective_rank(torch.eye(6)) == pytest.approx(6, rel=1e-6)
    assert effective_rank(torch.ones(6, 6)) == pytest.approx(1, abs=1e-6)


def test_feature_loss_is_relative_to_each_stages_magnitude() -> None:
    wanted = [torch.ones(1, 2, 3, 3), 100 * torch.ones(1, 2, 3, 3)]
    found = [1.1 * each for each in wanted]
    assert float(feature_loss(found, wanted)) == pytest.approx(0.1, rel=1e-4)


def test_total_variation_follows_the_naive_loop() -> None:
    x = torch.rand(1, 1, 4, 5)
    rows = [abs(float(x[0, 0, i + 1, j] - x[0, 0, i, j])) for i in range(3) for j in range(5)]
    columns = [abs(float(x[0, 0, i, j + 1] - x[0, 0, i, j])) for i in range(4) for j in range(4)]
    assert float(tv_loss(x)) == pytest.approx(sum(rows) / 15 + sum(columns) / 16, rel=1e-5)


class Recogniser:
    """Embeds by a fixed projection; its one map is the faces themselves."""

    def __init__(self, seed: int) -> None:
        self.matrix = torch.randn(48, 8, generator=torch.Generator().manual_seed(seed))

    def embed_with_maps(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        return F.normalize(faces.flatten(1) @ self.matrix), [faces]


def test_the_sum_is_the_weighted_sum_of_the_named_terms_averaged_over_recognisers() -> None:
    weights = LossWeights(pixel=2.0, identity=0.5, feature=0.25, contrastive=0.125, relational=0.3, tv=0.1)
    first, second = Recogniser(0), Recogniser(1)
    restored, faces, person = torch.rand(3, 3, 4, 4), torch.rand(3, 3, 4, 4), torch.tensor([0, 1, 2])
    terms = RestorationLoss(weights, [first, second])(restored, faces, person, torch.rand(len(faces), 3))
    identity = [identity_loss(r.embed_with_maps(restored)[0], r.embed_with_maps(faces)[0]) for r in (first, second)]
    assert float(terms["identity"]) == pytest.approx(float(sum(identity) / 2), rel=1e-5)
    assert [float(terms["identity 0"]), float(terms["identity 1"])] == pytest.approx([float(each) for each in identity])
    assert float(terms["pixel"]) == pytest.approx(float(pixel_loss(restored, faces)))
    whole = sum(
        getattr(weights, name) * float(terms[name])
        for name in ("pixel", "identity", "feature", "contrastive", "relational", "tv")
    )
    assert float(terms["loss"]) == pytest.approx(whole, rel=1e-5)


def test_a_bank_stands_for_the_batch_and_its_near_faces_are_no_negatives() -> None:
    recogniser = Recogniser(0)
    given = restored, faces, person, draws = batch(3)
    wanted = recogniser.embed_with_maps(faces)[0]
    bank = torch.cat([unit(5, 7), wanted[:1], F.normalize(wanted[1:2] + 0.1 * unit(1, 3))])
    loss = RestorationLoss(LossWeights(feature=0, contrastive=0.1, relational=1.0), [recogniser], banks=[bank])
    terms = loss(*given)
    found = recogniser.embed_with_maps(restored)[0]
    same = wanted @ bank.T > 0.4
    assert same[0, 5] and same[1, 6] and not same[2].all()
    torch.testing.assert_close(terms["contrastive"], contrastive_loss(found, wanted, bank, same))
    torch.testing.assert_close(terms["relational"], relational_loss(found, wanted, bank))
    assert loss(restored, faces, person * 0, draws)["loss"] == terms["loss"]


def test_a_memory_bank_is_drawn_once_from_all_faces(dataset_root: Path, edgeface_file: Path) -> None:
    store, recogniser = FaceStore.open(dataset_root / "train_processed"), EdgeFaceEmbedding(edgeface_file)
    place = torch.device("cpu")
    bank = memory_bank(recogniser, store, 5, 3, place)
    everyone = recogniser(store.batch(torch.arange(len(store))).float() / 255)
    rows = (bank @ everyone.T).argmax(1)
    assert len(set(rows.tolist())) == 5 and rows.max() >= 5
    torch.testing.assert_close(bank, everyone[rows])
    assert torch.equal(memory_bank(recogniser, store, 5, 3, place), bank)
    assert len(memory_bank(recogniser, store, 10**6, 3, place)) == len(store)


def batch(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Restored faces, faces, people and draws."""
    return torch.rand(count, 3, 4, 4), torch.rand(count, 3, 4, 4), torch.arange(count), torch.rand(count, 3)


def test_known_targets_give_the_same_identity_as_computed_ones() -> None:
    recogniser = Recogniser(0)
    loss = RestorationLoss(LossWeights(feature=0), [recogniser])
    given = batch(3)
    known = [recogniser.embed_with_maps(given[1])[0]]
    torch.testing.assert_close(loss(*given, known)["loss"], loss(*given)["loss"])


def test_a_term_of_weight_zero_is_not_computed() -> None:
    terms = RestorationLoss(LossWeights(feature=0), [Recogniser(0)])(*batch(2))
    assert "feature" not in terms and "contrastive" not in terms


def test_recognisers_see_displaced_faces_and_pixels_are_compared_in_place() -> None:
    given = batch(3)
    weights, recogniser = LossWeights(feature=0), Recogniser(0)
    still, moved = (RestorationLoss(weights, [recogniser], displace_px=px)(*given) for px in (0.0, 1.0))
    assert float(moved["pixel"]) == float(still["pixel"]) and float(moved["identity"]) != float(still["identity"])


def test_displacing_removes_patterns_finer_than_it_and_keeps_faces() -> None:
    pattern = (torch.arange(112) % 4 < 2).float().expand(64, 3, 112, 112)
    draws = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    assert displace(pattern, draws, 3.0).mean(0).std() < 0.15 < pattern.std()
    smooth = torch.linspace(0, 1, 112).expand(64, 3, 112, 112)
    assert (displace(smooth, draws, 3.0) - smooth).abs().max() < 0.06
    torch.testing.assert_close(displace(pattern, draws, 0.0), pattern, atol=1e-5, rtol=0)


@pytest.mark.parametrize("damage", ["cut short", "of another shape", "text"])
def test_damaged_targets_are_computed_anew(damage: str, dataset_root: Path, edgeface_file: Path) -> None:
    store, recogniser = FaceStore.open(dataset_root / "val_processed"), EdgeFaceEmbedding(edgeface_file)
    place, rows = torch.device("cpu"), torch.arange(3)
    wanted = HrTargets(recogniser, store, place, store.path).at(rows, rows > 0)
    (path,) = store.path.glob("hr_targets_*.npy")
    whole = path.read_bytes()
    if damage == "of another shape":
        np.save(path, np.zeros((2, 3, 512), np.float16))
    else:
        path.write_bytes(whole[:2000] if damage == "cut short" else b"text")
    assert torch.equal(HrTargets(recogniser, store, place, store.path).at(rows, rows > 0), wanted)
    assert path.read_bytes() == whole


def test_targets_of_a_data_set_that_is_only_read_go_to_the_users_cache_or_to_the_run(
    dataset_root: Path,
    edgeface_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only_read: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(dataset_root / "val_processed", tmp_path / "data", ignore=shutil.ignore_patterns("hr_targets*"))
    store, recogniser = FaceStore.open(tmp_path / "data"), EdgeFaceEmbedding(edgeface_file)
    only_read(store.path)
    capsys.readouterr()
    cpu, rows = torch.device("cpu"), torch.arange(3)
    first = HrTargets(recogniser, store, cpu, tmp_path / "run").at(rows, rows > 0)
    (kept,) = (tmp_path / "cache").rglob("hr_targets_*.npy")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(store.path) in said and str(kept.parent) in said and "read-only" in said
    before = kept.stat().st_mtime_ns
    assert torch.equal(HrTargets(recogniser, store, cpu, tmp_path / "run").at(rows, rows > 0), first)
    assert kept.stat().st_mtime_ns == before and capsys.readouterr().err == ""
    shutil.rmtree(tmp_path / "cache")
    only_read(tmp_path / "cache")
    HrTargets(recogniser, store, cpu, tmp_path / "run")
    assert len(list((tmp_path / "run").glob("hr_targets_*.npy"))) == 1
    assert not list(store.path.glob("hr_targets*"))


def test_a_perceptual_loss_without_a_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="--perceptual: VGG-19 cannot be downloaded"):
        vgg_distance(torch.device("cpu"))
