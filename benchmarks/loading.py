"""What a checked load costs, one line a container.

Time, of the CPU: `EdgeFaceEmbedding` with all its checks and its self-test, against the bare call for the same file
(building the network, `torch.load` or `load_file`, `load_state_dict`; `torch.jit.load`; `torch.export.load`): medians
of alternating runs. Memory: growth of a fresh process's peak while it loads, in multiples of the file.
"""

import ctypes
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.quantised import dequantise
from facial_rec.loading.saving import Format, Precision, save_weights
from facial_rec.loading.weights import read_weights
from facial_rec.networks.edgeface import build

_RUNS = 5
_OFFICIAL = Path(__file__).parents[2] / "shared" / "weights" / "edgeface_xxs_q.pt"
# Name of the line to the file; what `save_weights` does not write is written by torch itself.
_WRITTEN: dict[str, tuple[str, Format, Precision]] = {
    "state_dict": ("a.pt", "state_dict", "float32"),
    "float16": ("half.pt", "state_dict", "float16"),
    "safetensors": ("a.safetensors", "safetensors", "float32"),
    "torchscript": ("a.ts", "torchscript", "float32"),
    "pt2": ("a.pt2", "pt2", "float32"),
}


def main() -> None:
    """Print one line a container."""
    logging.getLogger("facial_rec").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _files(Path(folder)).items():
            ours, bare = _times(path, _bare(name))
            grown = _memory(path)
            print(
                f"{name:<12} {path.stat().st_size / 1e6:5.1f} MB: {1000 * ours:6.0f} ms of CPU, "
                f"bare {1000 * bare:6.0f} ms, ratio {ours / bare:.2f}; peak memory {grown:.2f} files (goals under 3)"
            )


def _files(folder: Path) -> dict[str, Path]:
    """Write an EdgeFace-S in every container, and beside each a small EdgeFace of the same kind to warm up with."""
    files = {}
    for prefix, arch in (("warm_", "edgeface_xxs"), ("", "edgeface_s_gamma_05")):
        torch.save(build(arch).state_dict(), folder / "source.pt")
        weights = read_weights(folder / "source.pt")
        for line, (name, form, precision) in _WRITTEN.items():
            files[line] = folder / (prefix + name)
            save_weights(files[line], weights, form, precision)
        files["legacy"] = folder / f"{prefix}legacy.pt"
        torch.save(weights.state_dict, files["legacy"], _use_new_zipfile_serialization=False)
    return files | ({"quantised": _OFFICIAL} if _OFFICIAL.is_file() else {})


def _bare(name: str) -> Callable[[Path], Any]:
    arch = "edgeface_xxs" if name == "quantised" else "edgeface_s_gamma_05"
    if name == "torchscript":
        return lambda path: torch.jit.load(path)  # type: ignore[no-untyped-call]
    if name == "pt2":
        return lambda path: torch.export.load(path)
    if name == "safetensors":
        return lambda path: build(arch).load_state_dict(load_file(path))
    if name == "quantised":
        return lambda path: build(arch).load_state_dict(
            {key.removeprefix("model."): value for key, value in dequantise(torch.load(path)).items()}
        )
    return lambda path: build(arch).load_state_dict(torch.load(path))


def _times(path: Path, bare: Callable[[Path], Any]) -> tuple[float, float]:
    ways: list[Callable[[Path], Any]] = [EdgeFaceEmbedding, bare]
    for way in ways:
        way(path)
    seconds: list[list[float]] = [[], []]
    for _ in range(_RUNS):
        for way, times in zip(ways, seconds, strict=True):
            started = time.process_time()
            way(path)
            times.append(time.process_time() - started)
    return median(seconds[0]), median(seconds[1])


def _memory(path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.loading", str(path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(result.stdout)["grown"]) / path.stat().st_size


def _measure(path: Path) -> None:
    """Print by how many bytes a fresh process's peak grows while it loads a file (Linux)."""
    EdgeFaceEmbedding(_warm_up(path))  # what torch itself allocates on first use is not the file's
    ctypes.CDLL(None).malloc_trim(0)
    before = _memory_now("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    EdgeFaceEmbedding(path)
    print(json.dumps({"grown": _memory_now("VmHWM") - before}))


def _warm_up(path: Path) -> Path:
    """Return a small file of the same container."""
    return _OFFICIAL if path == _OFFICIAL else path.with_name("warm_" + path.name)


def _memory_now(field: str) -> int:
    """Return this process's memory in bytes: "VmRSS" now, "VmHWM" at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
