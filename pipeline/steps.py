"""Commands run one after another, each skipped while its result is there and its inputs are unchanged."""

import hashlib
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.cli import EXIT_INTERRUPTED
from engine.errors import UserError
from engine.files import sha256_of, write_json
from engine.text import read_json

RECORD = ".step.json"


@dataclass(frozen=True)
class Step:
    """One command of a chain."""

    title: str
    arguments: list[str]
    """What follows `python -m` and decides the result."""
    inputs: list[Path]
    """Files, or folders whose files count by path, size and time."""
    output: Path
    """File or folder that the command leaves; the record of the run stands beside it."""
    free: list[str] = field(default_factory=list)
    """Further arguments, which change nothing in the result: those that say where something is, whose content is what
    counts, and those that say where to compute."""
    contents: list[str] = field(default_factory=list)
    """Hashes of what else the command reads."""
    replaces: bool = False
    """Whether the command replaces an earlier result by itself; others are told `--overwrite`."""
    continues: bool = True
    """Whether the command, when it was interrupted, goes on from what it wrote; others begin anew."""


class StepError(UserError):
    """A command of the chain that failed, with its exit code."""

    def __init__(self, step: Step, code: int) -> None:
        super().__init__(
            f"the step '{step.title}' failed with exit code {code}: see the line above; "
            "the same command goes on from here once that is mended"
        )
        self.code = code


def run_step(step: Step, position: str = "", force: bool = False) -> None:
    """Run a step, unless its result is there and its inputs are unchanged.

    Args:
        step: The command.
        position: Where it stands in its chain, for the screen: "[2/5]".
        force: Run it even where nothing has changed.

    Raises:
        StepError: The command failed; it has printed its own reason.
        KeyboardInterrupt: The command was interrupted.
    """
    title, state, earlier = f"{position} {step.title}".strip(), _state(step), _record(step)
    if not force and step.output.exists() and earlier == {"state": state, "finished": True}:
        print(f"{title}: up to date", flush=True)
        return
    goes_on = step.continues and not force and earlier == {"state": state, "finished": False}
    anew = earlier is not None and not goes_on and not step.replaces
    arguments = [*step.arguments, *step.free, *(["--overwrite"] if anew else [])]
    print(f"{title}: python -m {shlex.join(arguments)}", flush=True)
    step.output.parent.mkdir(parents=True, exist_ok=True)
    before = {"record": earlier, "folder": _fingerprint(step.output.parent)}
    write_json(_place(step), {"state": state, "finished": False, "before": before})
    code = subprocess.run([sys.executable, *_leaving_out(Path.cwd()), "-m", *arguments], check=False).returncode
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise StepError(step, code)
    write_json(_place(step), {"state": state, "finished": True})


def _leaving_out(folder: Path) -> list[str]:
    """Return what keeps Python from running a dataset.py that stands in a folder, unless it is the toolkit's own."""
    return [] if folder == Path(__file__).resolve().parents[1] else ["-P"]


def _place(step: Step) -> Path:
    return step.output.parent / RECORD


def _record(step: Step) -> dict[str, Any] | None:
    """Return what the folder holds: `state` and whether it is `finished`; {} where nobody can tell, None where nothing.

    A command that ended before it had changed the folder counts as never started.
    """
    if not _place(step).is_file():
        return None
    try:
        record: dict[str, Any] = read_json(_place(step))
        before = record.pop("before", None)
        unchanged = before is not None and before["folder"] == _fingerprint(step.output.parent)
        earlier: dict[str, Any] | None = before["record"] if unchanged else record
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return earlier


def _state(step: Step) -> dict[str, Any]:
    """Return what decides a step's result: content, never where it lies or how its path is spelled."""
    return {"arguments": step.arguments, "inputs": [*map(_fingerprint, step.inputs), *step.contents]}


def _fingerprint(path: Path) -> str:
    """Return a file's SHA-256; of a folder, a hash of its files' names, sizes and times, hidden ones left out."""
    if not path.is_dir():
        return sha256_of(path) if path.exists() else ""
    digest = hashlib.sha256()
    files = ((each.relative_to(path), each) for each in path.rglob("*") if each.is_file())
    for name, each in sorted(found for found in files if not any(part.startswith(".") for part in found[0].parts)):
        status = each.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
