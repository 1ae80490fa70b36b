"""Real trainings on a data set of known people and one of nobody known."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from dataset.batches import LowResolutionBatches
from dataset.store import FaceStore
from dataset.store_writer import StoreWriter
from dataset.synthetic.people import synthetic_faces
from dsr.train_dsr import main as train_dsr
from engine.checkpoint import load_checkpoint
from facial_rec.finetune_edgeface import main as finetune

COMMANDS = {
    "dsr": (train_dsr, "dsr-training", "--preset small --feature 0 --contrastive 0.1 --relational 1"),
    "edgeface": (
        finetune,
        "edgeface-finetuning",
        "--dsr none --rate 1e-5 --margin 0.1 --contrastive 0.1 --max-impostor-mean 1 --max-hr-drop 100",
    ),
}
PLAIN = "--device cpu --precision fp32 --batch 8 --epochs 2 --save-every 1 --warmup 2 --validate-every 2 --shares 1,1"


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("strangers")
    faces = synthetic_faces(torch.arange(200, 216), torch.zeros(16, dtype=torch.long), seed=0)
    with StoreWriter(root / "train_processed", labelled=False) as writer:
        for number, face in enumerate(faces.permute(0, 2, 3, 1).numpy()):
            writer.add(face, f"unlabelled/{number}.png", "unlabelled")
    return root


@pytest.fixture(params=COMMANDS)
def training(request, dataset_root: Path, strangers: Path, edgeface_file: Path, tmp_path: Path):
    """Runs a command in a folder and returns its exit code; and the kind of its checkpoints."""
    main, kind, options = COMMANDS[request.param]
    both = ["--dataset", str(strangers), "--dataset", str(dataset_root)]
    places = ["--edgeface", str(edgeface_file), "--out"]

    def run(folder: str, *more: str, sets: list[str] = both) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*PLAIN.split(), *options.split(), *sets, *places, str(tmp_path / folder), *more])
        return ended.value.code

    return run, kind


def weights(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    state = load_checkpoint(folder / "last.pth", kind)
    return {**state["model"], **{f"ema {name}": value for name, value in state["ema"].items()}}


def test_both_are_trained_on_and_an_interrupted_run_has_the_same_weights(
    training, tmp_path: Path, dataset_root: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kind = training
    shown: list[torch.Tensor] = []
    original = LowResolutionBatches.at

    def watched(self: LowResolutionBatches, epoch: int, index: int):
        batch = original(self, epoch, index)
        shown.append(batch.rows)
        if (epoch, index, len(shown)) == (1, 1, 7):
            os.kill(os.getpid(), signal.SIGINT)
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(LowResolutionBatches, "at", watched)
        assert run("cut") == 130
        said = capsys.readouterr().out
        assert run("cut") == 0
    assert f"({dataset_root / 'val_processed'})" in said
    first = torch.cat(shown[:5])
    assert len(first) == 40 == len(FaceStore.open(dataset_root / "train_processed")) + 16
    assert int((first < 16).sum()) == 20 and len(shown) == 10
    assert run("whole") == 0
    one, other = weights(tmp_path / "whole", kind), weights(tmp_path / "cut", kind)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    options = json.loads((tmp_path / "whole" / "config.json").read_text())["options"]
    assert options["shares"] == "1,1" and len(options["dataset"]) == 2


def test_a_run_goes_on_with_data_sets_of_the_same_content_alone(
    training, strangers: Path, dataset_root: Path, tmp_path: Path, capsys
) -> None:
    run, _ = training
    short = ["--epochs", "1", "--epoch-batches", "1"]
    assert run("run", *short) == 0
    assert run("run", *short, "--shares", "2,1") == 2
    assert "shares: 1,1 there, 2,1 now" in capsys.readouterr().err
    (tmp_path / "linked").symlink_to(strangers)
    elsewhere = ["--dataset", str(tmp_path / "linked"), "--dataset", str(dataset_root)]
    assert run("run", *short, sets=elsewhere) == 0
    assert f"{tmp_path / 'linked'}, {dataset_root} now; the content is the same" in capsys.readouterr().out
    assert run("run", *short, sets=[*elsewhere[2:], *elsewhere[:2]]) == 2
    assert "another input (train:" in capsys.readouterr().err


def test_a_recipe_names_one_data_set_or_several(training, strangers: Path, dataset_root: Path, tmp_path: Path) -> None:
    run, _ = training
    for number, names in enumerate((f'"{dataset_root}"', f'["{dataset_root}", "{strangers}"]')):
        recipe = tmp_path / f"{number}.toml"
        recipe.write_text(f"dataset = {names}\nepochs = 1\nepoch_batches = 1\n")
        shares = [] if number else ["--shares", "1"]
        assert run(f"run{number}", "--config", str(recipe), *shares, sets=[]) == 0
        options = json.loads((tmp_path / f"run{number}" / "config.json").read_text())["options"]
        assert options["dataset"] == [str(dataset_root), str(strangers)][: number + 1]
