"""What a checked load costs, one line a container.

Time, of the CPU: `EdgeFaceEmbedding` with all its checks and its self-test, against the bare call for the same file
(building the network, `torch.load` or `load_file`, `load_state_dict`; `torch.jit.load`; `torch.export.load`): medians
of alternating runs. Memory: growth of a fresh process's peak while it loads, in multiples of the file.
"""

import json
import logging
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file

from facial_rec.edgeface import build
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.quantised import dequantise
from facial_rec.saving import Format, save_weights
from facial_rec.weights import find_weights, read_weights

_RUNS = 5
_OFFICIAL = Path(__file__).parents[2] / "shared" / "weights" / "edgeface_xxs_q.pt"
_FILES: dict[Format, str] = {
    "state_dict": "a.pt",
    "safetensors": "a.safetensors",
    "torchscript": "a.ts",
    "pt2": "a.pt2",
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
                f"bare {1000 * bare:6.0f} ms, ratio {ours / bare:.2f}; peak memory {grown:.1f} files (goals under 3)"
            )


def _files(folder: Path) -> dict[str, Path]:
    torch.save(build("edgeface_s_gamma_05").state_dict(), folder / "source.pt")
    weights = read_weights(folder / "source.pt")
    for form, name in _FILES.items():
        save_weights(folder / name, weights, form)
    files: dict[str, Path] = {form: folder / name for form, name in _FILES.items()}
    return files | ({"quantised": find_weights(_OFFICIAL)} if _OFFICIAL.is_file() else {})


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
    """Print by how many bytes a fresh process's peak grows while it loads a file."""
    EdgeFaceEmbedding(_warm_up(path))  # what torch itself allocates on first use is not the file's
    before, peak = _resident(), [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.0005):
            peak[0] = max(peak[0], _resident())

    thread = threading.Thread(target=watch)
    thread.start()
    embedding = EdgeFaceEmbedding(path)
    done.set()
    thread.join()
    print(json.dumps({"grown": max(peak[0], _resident()) - before, "arch": embedding.arch}))


def _warm_up(path: Path) -> Path:
    """Return a small file of the same container."""
    target = path.with_name("warm" + path.suffix) if path != _OFFICIAL else path
    if not target.exists():
        torch.save(build("edgeface_xxs").state_dict(), path.with_name("warm_source.pt"))
        form = next(form for form, name in _FILES.items() if Path(name).suffix == path.suffix)
        save_weights(target, read_weights(path.with_name("warm_source.pt")), form)
    return target


def _resident() -> int:
    """Return this process's memory in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
