"""What a run tells: a progress bar, `metrics.jsonl`, TensorBoard."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engine.files import write_text


class RunLog:
    """Writes one JSON line an event and the same figures to TensorBoard.

    Args:
        folder: The run's folder.
        step: The step that the run continues from; later lines of an earlier, killed process are dropped, so that
            a resumed log reads like an uninterrupted one.
        enabled: False in the processes that must not write.
    """

    def __init__(self, folder: Path, step: int, enabled: bool = True) -> None:
        self.enabled = enabled
        if not enabled:
            return
        self._path = folder / "metrics.jsonl"
        if self._path.is_file():
            write_text(self._path, "".join(line + "\n" for line in self._kept_lines(step)))
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def _kept_lines(self, step: int) -> list[str]:
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError):  # the line that was being written when the process was killed
                continue
        return kept

    def write(self, event: str, step: int, values: dict[str, Any]) -> None:
        """Log flat or nested values under an event name ("train", "validation").

        A figure that is NaN or infinite becomes null, which JSON can say: no figure is worth a training.
        """
        if not self.enabled:
            return
        values = _finite(values)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "step": step, **values}, allow_nan=False) + "\n")
        for name, value in flatten(values).items():
            if isinstance(value, (int, float)):
                self._writer.add_scalar(f"{event}/{name}", value, step)

    def image(self, name: str, step: int, picture: Tensor) -> None:
        """Log a (3, H, W) float RGB picture in [0, 1]."""
        if self.enabled:
            self._writer.add_image(name, picture, step)

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        if self.enabled:
            self._writer.close()


def _finite(value: Any) -> Any:
    """Return nested values with None for each number that is NaN or infinite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one dict with keys joined by a slash."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def progress_bar(total: int, done: int, unit: str, title: str, enabled: bool = True) -> "tqdm[Any]":
    """Return a progress bar with rate and ETA; in a log file it writes a line every half minute instead."""
    interval = 0.2 if sys.stderr.isatty() else 30.0
    return tqdm(
        total=total, initial=done, unit=unit, desc=title, disable=not enabled, mininterval=interval, dynamic_ncols=True
    )
