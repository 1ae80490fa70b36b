import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from dataset.store import FaceStore
from dataset.views.degrade import enlarge, shrink
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.validation import ValidationError, VerificationSet, _choose_rows, ranking


def test_the_figures_are_those_of_a_naive_loop(dataset_root: Path, edgeface_file: Path) -> None:
    store, recogniser = FaceStore.open(dataset_root / "val_processed"), EdgeFaceEmbedding(edgeface_file)
    measured = VerificationSet(store, recogniser).measure(lambda canvas: canvas, sizes_px=(16,), pictures=True)["16"]
    faces = store.batch(np.arange(len(store))).float() / 255
    canvas = enlarge(shrink(faces, 16))
    with torch.no_grad():
        gallery, probes = recogniser(faces), recogniser(canvas)
    genuine, impostor = [], []
    for i in range(len(store)):
        for j in range(len(store)):
            if i != j:
                same = store.person[i] == store.person[j]
                (genuine if same else impostor).append(float(gallery[i] @ probes[j]))
    assert measured["genuine_mean"] == pytest.approx(np.mean(genuine), abs=1e-5)
    assert measured["impostor_mean"] == pytest.approx(np.mean(impostor), abs=1e-5)
    threshold = sorted(impostor, reverse=True)[int(0.01 * len(impostor))]
    assert measured["tar@far=1e-2"] == pytest.approx(np.mean(np.array(genuine) > threshold), abs=1e-9)
    assert measured["identity"] == pytest.approx(1 - float((gallery * probes).sum(1).mean()), abs=1e-5)
    psnr = [-10 * np.log10(float(F.mse_loss(a, b))) for a, b in zip(canvas, faces, strict=True)]
    assert measured["psnr"] == pytest.approx(np.mean(psnr), rel=1e-3)


def test_the_ranking_uses_the_strictest_measurable_rate() -> None:
    few = {"8": {"tar@far=1e-3": None, "tar@far=1e-2": 0.5, "accuracy": 0.9}}
    many = {"8": {"tar@far=1e-3": 0.2, "tar@far=1e-2": 0.5, "accuracy": 0.9}}
    none = {"8": {"tar@far=1e-3": None, "tar@far=1e-2": None, "accuracy": 0.9}}
    assert [ranking(each) for each in (few, many, none)] == [0.5, 0.2, 0.9]


def test_the_figure_that_the_best_epoch_is_chosen_by_has_its_far_in_its_name(
    tmp_path: Path, edgeface_file: Path
) -> None:
    recogniser = EdgeFaceEmbedding(edgeface_file)
    for people, words in ((3, "mean accuracy"), (6, "mean TAR at FAR 1 %"), (17, "mean TAR at FAR 0.1 %")):
        faces = np.random.default_rng(0).integers(0, 255, (2 * people, 112, 112, 3), np.uint8)
        names = [f"{row // 2}" for row in range(2 * people)]
        store = FaceStore.build(tmp_path / str(people), iter(faces), [f"{row}.png" for row in range(2 * people)], names)
        validation = VerificationSet(store, recogniser)
        assert validation.ranked_by == f"{words} over sizes"
        measured = validation.measure(lambda canvas: canvas, sizes_px=(8,))
        name = {"accuracy": "accuracy", "1": "tar@far=1e-2", "0.1": "tar@far=1e-3"}[
            words.removesuffix(" %").split()[-1]
        ]
        assert ranking(measured) == measured["8"][name]


def test_black_and_white_faces_have_finite_figures(tmp_path: Path, edgeface_file: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 255, (4, 112, 112, 3), np.uint8)
    faces[0], faces[3] = 0, 255
    store = FaceStore.build(tmp_path, iter(faces), [f"{row}.png" for row in range(4)], ["a", "a", "b", "b"])
    validation = VerificationSet(store, EdgeFaceEmbedding(edgeface_file))
    measured = validation.measure(lambda canvas: canvas, sizes_px=(8, 112), pictures=True)
    numbers = [value for figures in measured.values() for value in figures.values() if value is not None]
    assert np.isfinite(numbers).all()
    exact = 10 * np.log10(12 * 255**2)
    plain = store.batch(np.arange(1, 3)).float() / 255
    small = enlarge(shrink(plain, 8))
    others = [-10 * np.log10(float(F.mse_loss(a, b))) for a, b in zip(small, plain, strict=True)]
    assert measured["8"]["psnr"] == pytest.approx(np.mean([exact, exact, *others]), rel=1e-4)
    assert measured["112"]["psnr"] == pytest.approx(exact)


def test_people_with_one_photograph_each_cannot_be_verified(tmp_path: Path, edgeface_file: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), np.uint8)
    store = FaceStore.build(tmp_path, iter(faces), ["a.png", "b.png", "c.png"], ["a", "b", "c"])
    with pytest.raises(ValidationError, match="somebody with two photographs"):
        VerificationSet(store, EdgeFaceEmbedding(edgeface_file))


def test_realistic_views_are_harder_and_the_same_each_time(dataset_root: Path, edgeface_file: Path) -> None:
    store, recogniser = FaceStore.open(dataset_root / "val_processed"), EdgeFaceEmbedding(edgeface_file)
    clean, *real = (
        VerificationSet(store, recogniser, degradation=kind).measure(lambda canvas: canvas, None, (16,), True)["16"]
        for kind in ("clean", "real", "real")
    )
    assert real[0] == real[1] and real[0]["psnr"] < clean["psnr"]


def test_a_limit_that_leaves_one_person_is_named(dataset_root: Path, edgeface_file: Path) -> None:
    store = FaceStore.open(dataset_root / "val_processed")
    with pytest.raises(ValidationError, match="2 photographs show 1 of them; raise --validation-faces, 3 now"):
        VerificationSet(store, EdgeFaceEmbedding(edgeface_file), limit=3)


def test_a_person_with_many_photographs_does_not_crowd_out_the_others(tmp_path: Path, edgeface_file: Path) -> None:
    for big in (0, 20, 40):
        photographs = {number: 200 if number == big else 4 for number in range(41)}
        names = [f"person {number:02d}" for number, count in photographs.items() for _ in range(count)]
        faces = np.zeros((len(names), 112, 112, 3), np.uint8)
        images = [f"{row}.png" for row in range(len(names))]
        store = FaceStore.build(tmp_path / str(big), iter(faces), images, names)
        drawn = VerificationSet(store, EdgeFaceEmbedding(edgeface_file), limit=100)
        assert np.bincount(drawn.person).tolist().count(0) == 0 and set(np.bincount(drawn.person)) == {2, 3}
        assert str(drawn) == "100 faces of 41 people, drawn from 360 of 41"


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=30),
    st.integers(4, 60),
    st.randoms(use_true_random=False),
)
def test_faces_to_validate_on_are_shared_out_evenly(counts: list[int], limit: int, mixing: random.Random) -> None:
    person = [number for number, count in enumerate(counts) for _ in range(count)]
    mixing.shuffle(person)
    rows = _choose_rows(np.array(person), limit)
    assert rows.tolist() == sorted(set(rows.tolist())) and len(rows) in (min(limit, len(person)), limit - 1)
    given_by = np.bincount(np.array(person)[rows], minlength=len(counts))
    most = given_by.max()
    for gave, has in zip(given_by, counts, strict=True):
        assert gave != 1 or has == 1  # without a second photograph there is no genuine pair
        assert has == 1 or gave >= min(has, most - 1) or most <= 2
    if any(gave for gave, has in zip(given_by, counts, strict=True) if has == 1):
        assert all(gave == has for gave, has in zip(given_by, counts, strict=True) if has > 1)
