import json
from pathlib import Path

import numpy as np
import pytest

from dataset.store import FaceStore
from dataset.synthesize import main as draw
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.train_edgeface import main


def call(dataset: Path, out: Path, *more: str) -> int:
    plain = "--device cpu --precision fp32 --epochs 1 --batch 8"
    with pytest.raises(SystemExit) as ended:
        main([*plain.split(), "--dataset", str(dataset), "--out", str(out), *more])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_training_from_scratch_leaves_weights_that_every_command_takes(dataset_root: Path, tmp_path: Path) -> None:
    assert call(dataset_root, tmp_path) == 0
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["train", "validation"]
    assert EdgeFaceEmbedding(tmp_path / "edgeface.pth").arch == "edgeface_xxs"


def test_people_who_are_described_are_learned_by_their_descriptions(tmp_path: Path) -> None:
    people = tmp_path / "people"
    with pytest.raises(SystemExit):
        draw(["--people", "24", "--photos", "2", "--split", "50,50,0", "--vlr-sizes", "none", "--out", str(people)])
    assert call(people, tmp_path / "run", "--margin-kind", "described", "--small-share", "0.5") == 0
    assert EdgeFaceEmbedding(tmp_path / "run" / "edgeface.pth").arch == "edgeface_xxs"


def test_people_whom_nothing_describes_are_refused(
    dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(dataset_root, tmp_path, "--margin-kind", "described") == 2
    assert "does not describe synthetic people" in capsys.readouterr().err


def test_people_on_whom_nothing_can_be_measured_are_refused_before_the_training(
    dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train_processed").symlink_to(dataset_root / "train_processed")
    faces = np.zeros((2, 112, 112, 3), np.uint8)
    FaceStore.build(tmp_path / "val_processed", iter(faces), ["a/0.png", "b/0.png"], ["a", "b"])
    assert call(tmp_path, tmp_path / "run") == 2
    assert "verification needs two people" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
