import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dataset.batches import LowResolutionBatches, View
from dataset.store import FaceStore
from dsr.dsr_file import load_dsr
from dsr.losses import LossWeights, RestorationLoss
from dsr.network import DSR
from dsr.train_dsr import main
from engine.checkpoint import load_checkpoint
from engine.device import make_accelerator
from engine.optimisation import Optimisation, Training
from facial_rec.embedding import EdgeFaceEmbedding


def arguments(dataset: Path, edgeface: Path, out: Path, *more: str) -> list[str]:
    plain = "--device cpu --precision fp32 --preset small --batch 4 --epochs 2 --save-every 1 --warmup 2 --feature 0"
    return [*plain.split(), "--dataset", str(dataset), "--edgeface", str(edgeface), "--out", str(out), *more]


def call(*given: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(given))
    return ended.value.code


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "last.pth", "dsr-training")
    return {**state["model"], **{f"ema {name}": value for name, value in state["ema"].items()}}


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def whole_run(dataset_root: Path, edgeface_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert call(*arguments(dataset_root, edgeface_file, out)) == 0
    return out


def test_a_run_leaves_what_a_researcher_expects(whole_run: Path) -> None:
    events = [json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["train", "validation"] * 2
    last = events[-1]
    assert last["dsr"].keys() == last["bicubic"].keys() == {"8", "12", "16", "24", "32"}
    assert {"psnr", "ssim", "identity", "tar@far=1e-2", "eer", "accuracy"} <= last["dsr"]["8"].keys()
    assert json.loads((whole_run / "config.json").read_text())["options"]["epochs"] == 2
    assert len(list((whole_run / "samples").glob("*.png"))) == 2 and list((whole_run / "tensorboard").iterdir())
    assert load_dsr(whole_run / "best.pth").preset == "small"


def test_a_run_says_what_bicubic_reaches_once_and_where_to_start_with_few_faces(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments(dataset_root, edgeface_file, tmp_path, "--rate", "0", "--identity", "0")) == 0
    said = capsys.readouterr().out
    assert said.count("bicubic, TAR") == 1 and said.count("epoch 1, TAR") == said.count("epoch 2, TAR") == 1
    assert "faces are few to train on: --init default" in said
    assert "no epoch was better than bicubic enlargement" in said
    started = arguments(dataset_root, edgeface_file, tmp_path / "started", "--init", "default", "--epochs", "1")
    assert call(*started) == 0
    assert "faces are few" not in capsys.readouterr().out


def test_the_same_command_after_the_end_changes_nothing(
    whole_run: Path, dataset_root: Path, edgeface_file: Path
) -> None:
    before = (whole_run / "last.pth").read_bytes()
    assert call(*arguments(dataset_root, edgeface_file, whole_run)) == 0
    assert (whole_run / "last.pth").read_bytes() == before


def test_a_finished_run_goes_on_to_more_epochs_and_loses_nothing(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    before = (run / "metrics.jsonl").read_text().splitlines()
    assert call(*arguments(dataset_root, edgeface_file, run, "--epochs", "3")) == 0
    said = capsys.readouterr().out
    assert "--epochs: 2 when the run began, 3 now; it goes on" in said and "learning rate" in said
    after = (run / "metrics.jsonl").read_text().splitlines()
    assert after[: len(before)] == before and [json.loads(line)["epoch"] for line in after[len(before) :]] == [3, 3]
    assert json.loads(after[-2])["rate"] < 0.001 * 0.011 and len(list((run / "samples").glob("*.png"))) == 3


def test_a_moved_data_set_and_weights_by_another_path_go_on(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    moved = shutil.copytree(dataset_root, tmp_path / "moved")
    same_weights = tmp_path / "weights" / ".." / "xxs.pt"
    (tmp_path / "weights").mkdir()
    shutil.copy(edgeface_file, same_weights)
    before = (run / "last.pth").read_bytes()
    assert call(*arguments(moved, same_weights, run)) == 0
    said = capsys.readouterr().out
    assert f"--dataset: {dataset_root} when the run began, {moved} now" in said and "--edgeface" in said
    assert (run / "last.pth").read_bytes() == before


def test_a_killed_run_resumes_to_the_same_weights_bit_for_bit(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, tmp_path: Path, root: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "dsr.train_dsr", *arguments(dataset_root, edgeface_file, out)]
    # Sums depend on the number of threads in their last bits, so both runs must have the same.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=silent, stderr=silent)
    deadline = time.monotonic() + 120
    while not (out / "last.pth").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "last.pth").exists()
    assert call(*arguments(dataset_root, edgeface_file, out)) == 0
    assert_same_weights(out, whole_run)


def test_ctrl_c_saves_and_exits_with_130_and_the_run_goes_on(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LowResolutionBatches.at

    def interrupted(self: LowResolutionBatches, epoch: int, index: int) -> object:
        if (epoch, index) == (0, 3):
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, epoch, index)

    monkeypatch.setattr(LowResolutionBatches, "at", interrupted)
    given = arguments(dataset_root, edgeface_file, tmp_path, "--save-every", "1000")
    assert call(*given) == 130
    assert load_checkpoint(tmp_path / "last.pth", "dsr-training")["batches_done"] == 4
    monkeypatch.undo()
    assert call(*given) == 0
    assert_same_weights(tmp_path, whole_run)


def test_the_critic_is_resumed_too(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(name: str) -> list[str]:
        return arguments(dataset_root, edgeface_file, tmp_path / name, "--adversarial", "0.1", "--epochs", "1")

    assert call(*given("whole")) == 0
    original = LowResolutionBatches.at

    def dying(self: LowResolutionBatches, epoch: int, index: int) -> object:
        if index == 4:
            raise BrokenPipeError
        return original(self, epoch, index)

    monkeypatch.setattr(LowResolutionBatches, "at", dying)
    with pytest.raises(BrokenPipeError):
        main(given("died"))
    monkeypatch.undo()
    assert call(*given("died")) == 0
    assert_same_weights(tmp_path / "died", tmp_path / "whole")
    one, two = (load_checkpoint(tmp_path / name / "last.pth", "dsr-training")["critic"] for name in ("whole", "died"))
    assert [name for name in one["model"] if not torch.equal(one["model"][name], two["model"][name])] == []


def test_two_processes_learn_what_one_learns_with_the_same_global_batch(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, tmp_path: Path, root: Path
) -> None:
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dsr.train_dsr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", *launch, *arguments(dataset_root, edgeface_file, tmp_path)]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]

    def losses(run: Path) -> list[float]:
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return [event["loss"] for event in map(json.loads, lines) if event["event"] == "train"]

    assert losses(tmp_path) == pytest.approx(losses(whole_run), rel=1e-3)
    one, two = weights(whole_run), weights(tmp_path)
    assert all(torch.allclose(one[name], two[name], atol=1e-3) for name in one)


def test_a_nan_in_a_batch_stops_the_run_and_keeps_the_batch(
    dataset_root: Path,
    edgeface_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = LowResolutionBatches.at

    def poisoned(self: LowResolutionBatches, epoch: int, index: int) -> object:
        batch = original(self, epoch, index)
        if (epoch, index) == (0, 2):
            batch.canvas[0, 0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(LowResolutionBatches, "at", poisoned)
    assert call(*arguments(dataset_root, edgeface_file, tmp_path)) == 2
    assert "nonfinite_batch.pth" in capsys.readouterr().err
    kept = load_checkpoint(tmp_path / "nonfinite_batch.pth", "nonfinite-batch")
    assert kept["batch"] == 2 and kept["canvas"].isnan().sum() == 1
    assert load_checkpoint(tmp_path / "last.pth", "dsr-training")["batches_done"] == 2


def test_every_option_of_the_objective_and_the_views_trains(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path
) -> None:
    terms = "--feature 0.2 --contrastive 0.1 --relational 1 --bank 6 --adversarial 0.01 --edgeface"
    views = "--jitter 1 --blend 0.5 --degradation real --accumulate 2 --epochs 1 --precision bf16"
    more = [*views.split(), *terms.split(), str(edgeface_file)]
    assert call(*arguments(dataset_root, edgeface_file, tmp_path, *more)) == 0
    event = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    named = {"pixel", "identity", "feature", "contrastive", "relational", "adversarial", "critic", "tv", "loss"}
    assert named | {"identity 0", "identity 1", "gradient"} <= event.keys()


def test_a_run_without_a_step_and_stages_that_cannot_be_seen_are_refused(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert call(*arguments(dataset_root, edgeface_file, out, "--accumulate", "100")) == 2
    assert "--accumulate 100: the run has 12 batches" in capsys.readouterr().err and not (out / "best.pth").exists()
    black_box = tmp_path / "black_box.pt"
    foreign = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(147, 512)).eval()
    with pytest.warns(Warning):
        torch.jit.save(torch.jit.trace(foreign, torch.zeros(1, 3, 112, 112)), black_box)
    assert call(*arguments(dataset_root, black_box, tmp_path / "other", "--feature", "0.1")) == 2
    assert "pass --feature 0" in capsys.readouterr().err


def test_a_network_can_learn_one_batch(dataset_root: Path, edgeface_file: Path) -> None:
    store = FaceStore.open(dataset_root / "train_processed")
    batch = LowResolutionBatches(store, 4, View(), 0, torch.device("cpu")).at(0, 0)
    loss = RestorationLoss(LossWeights(), [EdgeFaceEmbedding(edgeface_file)])
    torch.manual_seed(0)
    settings = Optimisation(40, 2e-3, 5, 0.0, 1.0, 0.9)
    training = Training(DSR("small"), settings, make_accelerator(torch.device("cpu"), "fp32"))
    losses = []
    for _ in range(40):
        terms = loss(training.model(batch.canvas), batch.faces, batch.person, batch.draws)
        losses.append(terms["loss"].item())
        training.update(terms["loss"])
    assert losses[-1] < 0.9 * losses[0], losses


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--device", "cuda:42"], "--device"),
        (["--dataset", "/nonexistent"], "/nonexistent"),
        (["--edgeface", "/nonexistent.pt"], "nonexistent.pt"),
        (["--min-size", "30", "--max-size", "10"], "--min-size"),
        (["--init", "/nonexistent.pth"], "nonexistent.pth"),
        (["--config", "/nonexistent.toml"], "nonexistent.toml"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2(
    more: list[str],
    word: str,
    dataset_root: Path,
    edgeface_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*arguments(dataset_root, edgeface_file, tmp_path / "run", *more)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and word in errors[0]


def test_a_run_does_not_overwrite_the_weights_that_it_starts_from(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole_run / "best.pth").read_bytes()
    more = ["--init", str(whole_run / "best.pth"), "--overwrite"]
    assert call(*arguments(dataset_root, edgeface_file, whole_run, *more)) == 2
    assert "best.pth: is read by this run" in capsys.readouterr().err
    assert (whole_run / "best.pth").read_bytes() == before


def test_another_configuration_on_the_same_folder_is_refused(
    whole_run: Path, dataset_root: Path, edgeface_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in whole_run.glob("*.pth")}
    for more in (["--rate", "0.5"], ["--preset", "base"]):
        assert call(*arguments(dataset_root, edgeface_file, whole_run, *more)) == 2
        assert "another option" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in whole_run.glob("*.pth")} == before
