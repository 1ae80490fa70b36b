import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dsr.dsr_file import load_dsr, save_dsr
from dsr.network import DSR
from engine.checkpoint import load_checkpoint
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.finetune_edgeface import _bicubic_rows, main


@pytest.fixture(scope="module")
def dsr_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = DSR("small")
    torch.nn.init.normal_(model.tail.weight, std=0.01)
    path = tmp_path_factory.mktemp("dsr") / "best.pth"
    save_dsr(path, model, {})
    return path


@pytest.fixture
def given(dataset_root: Path, edgeface_file: Path, dsr_file: Path, tmp_path: Path) -> list[str]:
    plain = (
        "--device cpu --precision fp32 --batch 8 --epochs 2 --save-every 1 --warmup 2 --rate 1e-5 --max-impostor-mean 1"
    )
    places = ["--dataset", str(dataset_root), "--edgeface", str(edgeface_file), "--out", str(tmp_path / "run")]
    return [*plain.split(), *places, "--dsr", str(dsr_file), "--max-hr-drop", "100", "--max-impostor-mean", "1"]


def call(given: list[str], *more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*given, *more])
    return ended.value.code


def test_the_result_is_a_checkpoint_that_every_command_takes(
    given: list[str], tmp_path: Path, edgeface_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(given) == 0
    events = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["before", "train", "validation", "train", "validation"]
    assert {"dsr", "bicubic", "hr", "effective_rank"} <= events[-1].keys()
    caplog.set_level("INFO")
    tuned = EdgeFaceEmbedding(tmp_path / "run" / "edgeface_finetuned.pth")
    assert "Loaded fine-tuned backbone weights" in caplog.text
    original, faces = EdgeFaceEmbedding(edgeface_file), torch.rand(2, 3, 112, 112)
    assert tuned.arch == "edgeface_xxs" and not torch.equal(tuned(faces), original(faces))


def test_a_killed_run_resumes_to_the_same_weights(given: list[str], tmp_path: Path, root: Path) -> None:
    assert call(given) == 0
    killed = [*given, "--out", str(tmp_path / "killed")]
    command = [sys.executable, "-m", "facial_rec.finetune_edgeface", *killed]
    # Sums depend on the number of threads in their last bits, so both runs must have the same.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=silent, stderr=silent)
    deadline = time.monotonic() + 200
    while not (tmp_path / "killed" / "last.pth").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert call(killed) == 0
    one, two = (load_checkpoint(tmp_path / run / "last.pth", "edgeface-finetuning") for run in ("run", "killed"))
    assert [name for name in one["model"] if not torch.equal(one["model"][name], two["model"][name])] == []
    assert one["best"] == two["best"]


def test_two_processes_learn_what_one_learns_with_the_same_global_batch(
    given: list[str], tmp_path: Path, root: Path
) -> None:
    # Of eight faces three stay bicubic; of each four it would be two, so four of eight.
    given = [*given, "--epochs", "1", "--bicubic-share", "0.4", "--hr-share", "0", "--rate", "1e-4"]
    assert call(given) == 0
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "facial_rec.finetune_edgeface"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", *launch, *given, "--out", str(tmp_path / "two")]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]

    def means(run: str) -> dict[str, float]:
        lines = (tmp_path / run / "metrics.jsonl").read_text().splitlines()
        event = next(event for event in map(json.loads, lines) if event.pop("event") == "train")
        return dict(event)

    assert means("two") == pytest.approx(means("run"), rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.4, 1.0])
def test_the_faces_that_stay_bicubic_are_those_of_the_global_batch(share: float) -> None:
    for world in (1, 2, 4):
        count = 16 // world
        parts = [_bicubic_rows(share, count, rank, world) for rank in range(world)]
        chosen = [position < part for part in parts for position in range(count)]
        assert chosen == [position < round(share * 16) for position in range(16)]


def test_joint_training_moves_the_super_resolver_too_and_names_it(
    given: list[str], tmp_path: Path, dsr_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(given, "--joint", "--tune", "lowrank", "--epochs", "1", "--contrastive", "0.1", "--rate", "1e-3") == 0
    before, after = load_dsr(dsr_file), load_dsr(tmp_path / "run" / "dsr_joint.pth")
    assert not torch.equal(before.tail.weight, after.tail.weight)
    assert "--dsr" in capsys.readouterr().out and "dsr_joint.pth" in (tmp_path / "run" / "summary.json").read_text()


def test_a_frozen_super_resolver_is_left_alone_and_bicubic_needs_none(given: list[str], tmp_path: Path) -> None:
    assert call(given, "--dsr", "none", "--epochs", "1") == 0
    state = load_checkpoint(tmp_path / "run" / "last.pth", "edgeface-finetuning")["model"]
    assert not any(name.startswith("dsr.") for name in state)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--max-impostor-mean", "-1"], "mean impostor similarity"),
        (["--min-rank-share", "1", "--rate", "0.05", "--distill", "0", "--relational", "0"], "effective rank"),
        (["--max-hr-drop", "0", "--rate", "0.5", "--distill", "0", "--min-rank-share", "0"], "accuracy lost"),
    ],
)
def test_a_collapse_stops_the_run_with_exit_code_3_and_says_why(
    more: list[str], word: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(given, *more) == 3
    assert word in capsys.readouterr().err


def test_every_term_is_logged_by_its_name(given: list[str], tmp_path: Path, edgeface_file: Path) -> None:
    terms = ["--teacher", str(edgeface_file), "--feature", "0.1", "--anchor", "1", "--margin-kind", "adaface"]
    more = [
        "--cutout",
        "0.5",
        "--drop-path",
        "0.1",
        "--epoch-batches",
        "2",
        "--epochs",
        "1",
        "--contrastive",
        "0.1",
        "--bank",
        "6",
    ]
    assert call(given, *terms, *more) == 0
    events = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    wanted = {"distill", "relational", "teacher", "feature", "contrastive", "margin", "anchor", "loss"}
    assert wanted <= events[1].keys() and events[1]["step"] == 2


def test_a_resolution_branch_is_written_and_taken_like_an_adapter(
    given: list[str], tmp_path: Path, edgeface_file: Path
) -> None:
    assert call(given, "--dsr", "none", "--tune", "branch", "--epochs", "1") == 0
    branched = EdgeFaceEmbedding(edgeface_file, adapter=tmp_path / "run" / "edgeface_xxs.branch.safetensors")
    assert branched(torch.rand(1, 3, 112, 112)).shape == (1, 512)


def test_an_adapter_is_trained_further(given: list[str], tmp_path: Path) -> None:
    small = [*given, "--dsr", "none", "--tune", "lowrank", "--rank", "2", "--epochs", "1"]
    assert call(small) == 0
    adapter = tmp_path / "run" / "edgeface_xxs.lowres.safetensors"
    assert call([*small, "--out", str(tmp_path / "further"), "--adapter", str(adapter)]) == 0
    assert (tmp_path / "further" / "edgeface_xxs.lowres.safetensors").is_file()
    runs = [tmp_path / name / "metrics.jsonl" for name in ("run", "further")]
    first, second = ([json.loads(line) for line in run.read_text().splitlines()] for run in runs)
    assert second[0]["hr"] == first[0]["hr"]  # gates hold to the original, wherever the run starts
    assert second[1]["event"] == "start" and second[1]["hr"] != second[0]["hr"]
    assert call([*small, "--adapter", str(adapter), "--overwrite"]) == 2 and adapter.is_file()


def test_joint_without_a_super_resolver_is_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(given, "--dsr", "none", "--joint") == 2
    assert "--joint" in capsys.readouterr().err
