"""A run's folder: one configuration, one writer, one place to continue from."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from engine.cli import config_as_dict, default_options
from engine.environment import noted
from engine.errors import UserError
from engine.files import write_json
from engine.text import read_json

FREE_OPTIONS = frozenset({"device", "out", "overwrite", "readers", "save_every"})
"""Options that may differ between a run and its continuation: they do not change what is learned."""

PLACES = frozenset({"adapter", "dataset", "dsr", "edgeface", "init", "teacher"})
"""Options that say where an input is: what is there counts, by its hash among the inputs, and not how it is spelled."""

GROWING = frozenset({"epochs", "hours"})
"""Options that a continuation may raise: the run goes on from where it stands, and loses nothing."""


class RunError(UserError):
    """A run folder that belongs to another configuration or to a run that is still alive."""


@contextmanager
def open_run(
    config: Any,
    inputs: dict[str, str],
    is_main: bool = True,
    files: Iterable[Path] = (),
    used: dict[str, Any] | None = None,
) -> Iterator[Path]:
    """Claim `config.out` for this process and yield it.

    A new folder gets `config.json`: every option, the SHA-256 of every input file, the versions in use, and what the
    run computes with. An existing one that has saved weights must hold the same options and inputs, and is then
    continued; where it now computes with something else, that is added under "continued". More epochs than before are
    added there as well. Inputs are the same where their content is. Both are told, and kept in `config.json` as they
    are now.

    Args:
        config: The command's dataclass, with an `out` and an `overwrite` field.
        inputs: Name to content hash of what the run reads (weights, store).
        is_main: False in the processes that must not write.
        files: The files among what it reads: they are never cleared away.
        used: What became of options that leave a choice (device, precision), as `engine.device.computes_with` says.

    Raises:
        RunError: Another process is writing there, the configuration differs, the folder holds no run, or what must
            be cleared away for a new one is an input.
    """
    folder: Path = config.out
    if not is_main:
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"{folder}: another run is writing here; wait for it, or choose another --out") from None
    try:
        _match_or_write_config(folder, config, inputs, files, {**(used or {}), "environment": noted()})
        yield folder
    finally:
        lock.release()


def _match_or_write_config(
    folder: Path, config: Any, inputs: dict[str, str], files: Iterable[Path], used: dict[str, Any]
) -> None:
    path = folder / "config.json"
    options = config_as_dict(config)
    if path.is_file():
        earlier = _read(path)
        if _has_weights(folder) and not config.overwrite:
            _match(path, earlier, options, default_options(type(config)), inputs, used)
            return
        _clear(folder, files)
    elif (folder / "last.pth").exists():
        raise RunError(f"{folder}: holds a last.pth but no config.json, so it is no run's folder; choose another --out")
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    write_json(path, {"options": options, "inputs": inputs, "versions": versions, "used": used, "command": sys.argv})


def _match(
    path: Path,
    earlier: dict[str, Any],
    options: dict[str, Any],
    defaults: dict[str, Any],
    inputs: dict[str, str],
    used: dict[str, Any],
) -> None:
    """Refuse what would make another run; tell and note what a continuation may do otherwise."""
    # A version that has learned a new option goes on as if it had always stood at its default.
    before = {name: _alike(value, options.get(name)) for name, value in {**defaults, **earlier["options"]}.items()}
    changed = [name for name in sorted(options) if before.get(name) != options[name]]
    moved = [name for name in changed if name in PLACES]
    grown = [name for name in changed if name in GROWING and _is_more(options[name], before.get(name))]
    told = {name: options[name] for name in [*moved, *grown]}
    _refuse_difference(path.parent, {**before, **told}, options, "option")
    _refuse_difference(path.parent, earlier["inputs"], inputs, "input")
    for name, value in told.items():
        reason = "the content is the same" if name in moved else _GOES_ON
        print(f"--{name}: {_shown(before.get(name))} when the run began, {_shown(value)} now; {reason}")
    continued = earlier.get("continued", [])
    note: dict[str, Any] = {"raised": {name: [before[name], told[name]] for name in grown}} if grown else {}
    if used != [earlier, *(each for each in continued if "used" in each)][-1].get("used"):
        note["used"] = used
    if told or note:
        now = {**earlier, "options": {**before, **told}} if told else earlier
        write_json(path, {**now, "continued": [*continued, note]} if note else now)


def _alike(before: Any, now: Any) -> Any:
    """Return an earlier value as it would be written now that the option takes several."""
    return [before] if isinstance(now, list) and before is not None and not isinstance(before, list) else before


_GOES_ON = "it goes on from where it stands, at the learning rate of that place in the longer schedule"


def _is_more(now: Any, before: Any) -> bool:
    return isinstance(now, int | float) and isinstance(before, int | float) and now > before


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _has_weights(folder: Path) -> bool:
    """Whether a run saved any: one that was refused or killed before its first checkpoint binds nobody."""
    saved = [*folder.glob("*.pth"), *folder.glob("*.safetensors")]
    return any(not path.name.startswith((".", "nonfinite_batch")) for path in saved)  # "." are half-written ones


def _clear(folder: Path, files: Iterable[Path]) -> None:
    """Remove what an earlier run wrote, so that no result of it can pass for one of the new run."""
    patterns = ("*.pth", "*.safetensors", "metrics.jsonl", "summary.json", "samples", "tensorboard")
    stale = [path for pattern in patterns for path in folder.glob(pattern)]
    for file in files:
        if any(file.resolve().is_relative_to(path.resolve()) for path in stale):
            raise RunError(
                f"{file}: is read by this run, and beginning anew in {folder} would delete it; choose another --out"
            )
    for path in stale:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = read_json(path)
        if not all(isinstance(value[part], dict) for part in ("options", "inputs")):
            raise ValueError("parts")
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path}: not a run's config.json, so nothing here is touched; choose another --out") from None
    return value


def _refuse_difference(folder: Path, earlier: dict[str, Any], now: dict[str, Any], what: str) -> None:
    for key in sorted(earlier.keys() | now.keys()):
        if key not in FREE_OPTIONS and earlier.get(key) != now.get(key):
            raise RunError(
                f"{folder}: holds a run with another {what} ({key}: {earlier.get(key)} there, {now.get(key)} now); "
                "choose another --out, or pass --overwrite to begin anew, which deletes this run"
            )
