"""Bad input, from the shell: what every command says to it, what it exits with, and that nothing is lost.

Run `python -m benchmarks.bad_input [WORD ...]`: with words, only the cases whose input has one of them, on the
screen; without, all of them, into docs/bad-input.md. It exits with 1 where a command does not keep its promise: one
line, the exit code of the case, and every earlier file as it was.
"""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.bad_input_cases import CASES, PREPARE, TRAIN, Case
from benchmarks.bad_input_makers import save_face
from dataset.synthetic.people import synthetic_faces
from engine.files import write_text
from facial_rec.networks.edgeface import build

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "bad-input.md"
MOUNTING = ("unshare", "--user", "--map-root-user", "--mount")
SMALL_DISK = "mkdir -p full && mount -t tmpfs -o size={size} tmpfs full && exec {command}"
INTRODUCTION = """# Bad input

What the commands say to input that cannot work, or looks as if it could not; made by `python -m benchmarks.bad_input`
on synthetic faces and random weights, which fails where a command says more than one line, exits with another code, or
changes a file that was there before. Exit codes: 0 done, 1 some files were passed over, 2 a mistake to mend, 3 a gate
that a run violated, 130 interrupted.
"""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    said: list[str]
    """Its error lines, else the last line that it printed."""
    lost: list[str]
    """Earlier files that are gone or changed."""


def kept_promise(case: Case, outcome: Outcome) -> bool:
    """Whether a command said one line, exited with the right code and lost nothing."""
    return outcome.code == case.code and len(outcome.said) == 1 and not outcome.lost


def try_case(case: Case, place: Path) -> Outcome:
    """Make the input and run the command."""
    case.make(place)
    before = _digests(place)
    words = [sys.executable if word == "python" else word for word in shlex.split(case.command)]
    if case.disk:
        script = SMALL_DISK.format(size=case.disk, command=shlex.join(words))
        words = [*MOUNTING, "sh", "-c", script]
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    with subprocess.Popen(
        words,
        cwd=place,
        env=os.environ | quiet,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        if case.interrupts:
            printed = _interrupted(process, place / words[-1], case.interrupts)
        else:
            printed = process.communicate()[0]
    after = _digests(place)
    return Outcome(process.returncode, _said(printed), [name for name in before if before[name] != after.get(name)])


def _interrupted(process: "subprocess.Popen[str]", run: Path, times: int) -> str:
    """Press Ctrl-C once the training has saved in its folder, and again as soon as it has said that it is stopping."""
    while process.poll() is None and not (run / "last.pth").is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if times > 1 and "Ctrl-C again" in line:
            process.send_signal(signal.SIGINT)
    process.wait()
    return printed


def _said(printed: str) -> list[str]:
    """Return the lines that a user reads last: all errors, else the last line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", printed) if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "Traceback")) or "Error:" in line]
    return errors or lines[-1:]


def _digests(place: Path) -> dict[str, str]:
    """Return the files that a user would miss: not locks, not what a command keeps to be quicker."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def workshop(place: Path) -> None:
    """Make photographs, a data set, weights and a finished run, as a user has them."""
    people = torch.arange(8).repeat_interleave(4)
    faces = synthetic_faces(people, torch.arange(4).repeat(8), seed=0).permute(0, 2, 3, 1).numpy()
    for row, (person, face) in enumerate(zip(people.tolist(), faces, strict=True)):
        save_face(place / f"photos/person_{person}/{row % 4}.png", face)
    torch.manual_seed(0)
    torch.save(build("edgeface_xxs").state_dict(), place / "edgeface_xxs.pt")
    for command in (f"{PREPARE} photos --vlr-sizes 8 --split 50,25,25", f"{TRAIN} --epochs 1"):
        outcome = try_case(Case("", command, code=0), place)
        if outcome.code:
            raise RuntimeError(f"{command}: {outcome.said}")


def main(words: list[str]) -> int:
    """Try the cases; return 1 where one did not go as it should."""
    outcomes = try_cases([case for case in CASES if not words or any(word in case.what for word in words)])
    bad = [(case, outcome) for case, outcome in outcomes if not kept_promise(case, outcome)]
    print("\n".join(table(outcomes)))
    for case, outcome in bad:
        print(f"\nNOT AS PROMISED: {case.what}: {outcome}")
    if not words and not bad:
        write_text(PAGE, "\n".join([INTRODUCTION, *table(outcomes), ""]))
    return 1 if bad else 0


def try_cases(cases: list[Case]) -> list[tuple[Case, Outcome]]:
    """Try cases in one temporary folder; those that need a small disk only where Linux lets a user mount one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command started in the background would ignore it
    mounts = shutil.which("unshare") and not subprocess.run([*MOUNTING, "true"], check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        workshop(place)
        possible = [case for case in cases if mounts or not case.disk]
        return [(case, try_case(case, place)) for case in tqdm(possible, unit="case", leave=False)]


def table(outcomes: list[tuple[Case, Outcome]]) -> list[str]:
    """Return the lines of a Markdown table of what the commands said."""
    rows = ["| input | command | what it says | exit code |", "| --- | --- | --- | --- |"]
    for case, outcome in outcomes:
        said = " / ".join(outcome.said).replace("|", "\\|").replace("<", "&lt;").replace(str(ROOT), ".")
        said = re.sub(r"\.staging-\w+", ".staging-...", said)
        said = re.sub(r"\b[0-9a-f]{32}\b", "...", said)  # what is cached is named by its hash
        rows.append(f"| {case.what} | `{case.command}` | {said} | {outcome.code} |")
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
