"""Commands run one after another, each skipped while its result is there and its inputs are unchanged."""

import hashlib
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.cli import EXIT_INTERRUPTED
from engine.errors import UserError
from engine.files import sha256_of, write_json

RECORD = ".step.json"


@dataclass(frozen=True)
class Step:
    """One command of a chain."""

    title: str
    arguments: list[str]
    """What follows `python -m`."""
    inputs: list[Path]
    """Files, or folders whose files count by path, size and time."""
    output: Path
    """File or folder that the command leaves; the record of the run stands beside it."""
    replaces: bool = False
    """Whether the command replaces an earlier result by itself; others are told `--overwrite`."""


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
    title, arguments = f"{position} {step.title}".strip(), step.arguments
    if not force and _is_current(step):
        print(f"{title}: up to date", flush=True)
        return
    # A result with a record was finished with other inputs; one without was interrupted and is continued.
    if _record(step).is_file() and not step.replaces:
        arguments = [*arguments, "--overwrite"]
    print(f"{title}: python -m {shlex.join(arguments)}", flush=True)
    code = subprocess.run([sys.executable, "-m", *arguments], check=False).returncode
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise StepError(step, code)
    write_json(_record(step), _state(step))


def _is_current(step: Step) -> bool:
    record = _record(step)
    if not step.output.exists() or not record.is_file():
        return False
    try:
        return bool(json.loads(record.read_text(encoding="utf-8")) == _state(step))
    except ValueError:
        return False


def _record(step: Step) -> Path:
    folder = step.output if step.output.is_dir() else step.output.parent
    return folder / RECORD


def _state(step: Step) -> dict[str, object]:
    return {"arguments": step.arguments, "inputs": {path.as_posix(): _fingerprint(path) for path in step.inputs}}


def _fingerprint(path: Path) -> str:
    """Return a file's SHA-256; of a folder, a hash of its files' names, sizes and times, which is cheap."""
    if not path.is_dir():
        return sha256_of(path) if path.exists() else ""
    digest = hashlib.sha256()
    for each in sorted(each for each in path.rglob("*") if each.is_file() and each.name != RECORD):
        status = each.stat()
        digest.update(f"{each.relative_to(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
