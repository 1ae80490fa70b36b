"""A run's folder: one configuration, one writer, one place to continue from."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from engine.cli import config_as_dict, default_options
from engine.errors import UserError
from engine.files import write_json

FREE_OPTIONS = frozenset({"device", "out", "resume", "overwrite", "save_minutes", "progress"})
"""Options that may differ between a run and its continuation: they do not change what is learned."""


class RunError(UserError):
    """A run folder that belongs to another configuration or to a run that is still alive."""


@contextmanager
def open_run(config: Any, inputs: dict[str, str], is_main: bool = True) -> Iterator[Path]:
    """Claim `config.out` for this process and yield it.

    A new folder gets `config.json`: every option, the SHA-256 of every input file, and the versions in use. An
    existing one that has saved weights must hold the same options and inputs, and is then continued.

    Args:
        config: The command's dataclass, with an `out` and an `overwrite` field.
        inputs: Name to content hash of what the run reads (weights, store).
        is_main: False in the processes that must not write.

    Raises:
        RunError: Another process is writing there, or the configuration differs.
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
        _match_or_write_config(folder, config, inputs)
        yield folder
    finally:
        lock.release()


def _match_or_write_config(folder: Path, config: Any, inputs: dict[str, str]) -> None:
    path = folder / "config.json"
    options = config_as_dict(config)
    begun = any(folder.glob("*.pth"))  # a run that was refused or killed before its first checkpoint binds nobody
    if path.is_file() and begun and not config.overwrite:
        earlier = _read(path)
        # A version that has learned a new option goes on as if it had always stood at its default.
        _refuse_difference(folder, {**default_options(type(config)), **earlier["options"]}, options, "option")
        _refuse_difference(folder, earlier["inputs"], inputs, "input")
        return
    if path.is_file():
        _clear(folder)
    elif (folder / "last.pth").exists():
        raise RunError(f"{folder}: holds a last.pth but no config.json, so it is no run's folder; choose another --out")
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    write_json(path, {"options": options, "inputs": inputs, "versions": versions, "command": sys.argv})


def _clear(folder: Path) -> None:
    """Remove what an earlier run wrote, so that no result of it can pass for one of the new run."""
    for pattern in ("*.pth", "*.safetensors", "metrics.jsonl", "summary.json"):
        for stale in folder.glob(pattern):
            stale.unlink()
    for name in ("samples", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        value["options"], value["inputs"]
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path}: not a run's config.json; choose another --out or pass --overwrite") from None
    return value


def _refuse_difference(folder: Path, earlier: dict[str, Any], now: dict[str, Any], what: str) -> None:
    for key in sorted(earlier.keys() | now.keys()):
        if key not in FREE_OPTIONS and earlier.get(key) != now.get(key):
            raise RunError(
                f"{folder}: holds a run with another {what} ({key}: {earlier.get(key)} there, {now.get(key)} now); "
                "choose another --out, or pass --overwrite to begin anew"
            )
