"""What a training must survive: sudden death at any moment, a full disk, the death of one of several processes."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.checkpoint import load_checkpoint
from tests.dsr.noted_run import noted_run, places
from tests.engine.test_runloop import toy_run

pytestmark = pytest.mark.slow

INTERVAL, KILLS = 2, 20
ROOT = Path(__file__).resolve().parents[2]

# A server that has imported everything forks each life of a run, which then starts in a moment.
lives = multiprocessing.get_context("forkserver")
lives.set_forkserver_preload(["tests.dsr.noted_run"])


def arguments(dataset: Path, edgeface: Path, out: Path, *more: str) -> list[str]:
    plain = f"--device cpu --precision fp32 --preset small --batch 4 --epochs 15 --save-every {INTERVAL} --warmup 2"
    rest = "--feature 0 --contrastive 0.1 --validate-every 15"
    return [
        *plain.split(),
        *rest.split(),
        "--dataset",
        str(dataset),
        "--edgeface",
        str(edgeface),
        "--out",
        str(out),
        *more,
    ]


def finish(given: list[str], notes: Path) -> None:
    life = lives.Process(target=noted_run, args=(given, notes))
    life.start()
    life.join()
    assert life.exitcode == 0


def kill_after(batches: int, seconds: float, given: list[str], notes: Path) -> list[int]:
    """Kill a run some time after it began its nth batch; return the batches that it began."""
    life = lives.Process(target=noted_run, args=(given, notes))
    life.start()
    while len(places(notes)) < batches:
        assert life.is_alive()
        time.sleep(0.01)
    time.sleep(seconds)
    life.kill()
    life.join()
    assert life.exitcode == -signal.SIGKILL
    return places(notes)


@pytest.mark.timeout(7200)
def test_a_run_killed_at_twenty_random_moments_ends_as_if_nothing_had_happened(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path
) -> None:
    whole, killed = (arguments(dataset_root, edgeface_file, tmp_path / name) for name in ("whole", "killed"))
    begun = time.monotonic()
    finish(whole, tmp_path / "whole.txt")
    a_batch = (time.monotonic() - begun) / len(places(tmp_path / "whole.txt"))
    chance, lost, reached = random.Random(20), [], -1
    for number in range(KILLS):
        seen = kill_after(chance.randint(1, 5), chance.uniform(0, a_batch), killed, tmp_path / f"{number}.txt")
        lost.append(reached + 1 - seen[0])
        reached = seen[-1]
    finish(killed, tmp_path / "last.txt")
    lost = [*lost[1:], reached + 1 - places(tmp_path / "last.txt")[0]]
    print(f"batches begun and lost at each of {KILLS} kills, saving every {INTERVAL}: {lost}")
    assert max(lost) <= INTERVAL and reached < len(places(tmp_path / "whole.txt")) - 1
    one, two = (load_checkpoint(tmp_path / name / "last.pth", "dsr-training") for name in ("whole", "killed"))
    for part in ("model", "ema"):
        assert [name for name in one[part] if not torch.equal(one[part][name], two[part][name])] == []
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == (tmp_path / "killed" / "metrics.jsonl").read_text()


def test_a_full_disk_stops_the_run_with_one_line_and_keeps_the_earlier_checkpoint(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "disk" / "run"
    given = arguments(dataset_root, edgeface_file, out, "--save-every", "1")
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=6m tmpfs {tmp_path / 'disk'}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("needs a file system of its own (unshare and mount), which this machine does not allow")
    look = f"import torch; print(torch.load('{out}/last.pth')['batches_done'])"
    # The file system lives as long as the shell, so that the checkpoint is looked at from inside.
    script = f"""{mount} && {{ {sys.executable} -m dsr.train_dsr {" ".join(given)}; echo exit $?; ls -A {out}
        {sys.executable} -c "{look}"; }}"""
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "exit 2" in result.stdout.splitlines() and result.stdout.splitlines()[-1] == "1", result
    assert [name for name in result.stdout.split() if name.startswith(".last")] == []
    errors = [line for line in result.stderr.splitlines() if "Error" in line or line.startswith("error")]
    assert len(errors) == 1 and "last.pth: no space left on device" in errors[0]


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children]


def launch(given: list[str]) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dsr.train_dsr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, *torchrun, *given],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_the_death_of_one_process_ends_all(dataset_root: Path, edgeface_file: Path, tmp_path: Path) -> None:
    process = launch(arguments(dataset_root, edgeface_file, tmp_path, "--epochs", "200"))
    wait_for(tmp_path / "last.pth", process)
    workers = workers_of(process.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []


def test_ctrl_c_stops_all_processes_after_the_same_batch_and_saves(
    dataset_root: Path, edgeface_file: Path, tmp_path: Path
) -> None:
    given = arguments(dataset_root, edgeface_file, tmp_path, "--epochs", "200", "--save-every", "1000")
    process = launch(given)
    wait_for(tmp_path / "last.pth", process)
    asked = time.time()
    os.killpg(process.pid, signal.SIGINT)
    output, error = process.communicate(timeout=120)
    assert process.returncode != 0 and "stopping after this step and saving" in output, (output, error)
    assert (tmp_path / "last.pth").stat().st_mtime > asked


SEPARATE = """
import os, sys
from pathlib import Path
from engine.errors import UserError
from tests.dsr.noted_run import noted_run, places
from tests.engine.test_runloop import toy_run
folder = Path(sys.argv[1]) / ("first" if os.environ["RANK"] == "0" else "second")
folder.mkdir(exist_ok=True)
try:
    toy_run(folder)
except UserError as error:
    sys.exit(str(error))
"""


def test_processes_that_see_different_folders_are_refused(tmp_path: Path) -> None:
    toy_run(tmp_path / "first")
    script = tmp_path / "separate.py"
    script.write_text(SEPARATE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), str(tmp_path)]
    result = subprocess.run(
        [sys.executable, *torchrun], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0 and "all machines must see the same --out" in result.stderr
