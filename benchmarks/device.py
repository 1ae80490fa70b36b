"""One face of 16 px to its embedding, one thread: onnxruntime beside eager torch and frozen TorchScript.

Processor time of the one thread is measured, not the clock, and each round times every way in turn: a busy machine
disturbs little, and all alike.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from dsr.network import DSR
from facial_rec.edgeface import build
from pipeline.deployment.chain import Chain, Embed, Enlarge
from pipeline.deployment.onnx_graph import compose, to_onnx
from pipeline.deployment.onnx_precision import calibrated, narrowed
from pipeline.recognition.search import TemplateIndex

ROUNDS, REPEATS, GALLERY = 12, 3, 100_000


def main() -> None:
    """Print milliseconds, ratios to eager torch, sizes, and the cost of a search."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dsr, edgeface = DSR("base").eval(), build("edgeface_xxs").eval()
    face = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and compared for that reason
        chain = Chain(dsr, edgeface).eval()
        script = torch.jit.freeze(torch.jit.trace(chain, face))  # type: ignore[no-untyped-call]
        ways: dict[str, Callable[[], object]] = {"eager": lambda: chain(face), "torchscript": lambda: script(face)}
        models = exported(dsr, edgeface)
        ways |= {name: session(model, face.numpy()) for name, model in models.items()}
        ways["search"] = search()
        least = least_seconds(ways)
    for name, seconds in least.items():
        size = f"{models[name].ByteSize() / 1e6:6.2f} MB" if name in models else " " * 9
        print(f"{name:<14}{1000 * seconds:8.2f} ms  {least['eager'] / seconds:5.2f}x eager  {size}")
    print(f"identify in {GALLERY:,}: {1 + least['search'] / least['onnx int8']:.2f}x the int8 embedding's time")


def exported(dsr: DSR, edgeface: torch.nn.Module) -> dict[str, onnx.ModelProto]:
    """Return the chain in the ways that were tried."""
    enlarge, restore, embed = to_onnx(Enlarge(), None), to_onnx(dsr), to_onnx(Embed(edgeface))
    examples = np.random.default_rng(0).random((20, 3, 112, 112), np.float32)
    static = narrowed(calibrated(restore, examples), "int8")
    half_embed, int8_embed = narrowed(embed, "fp16"), narrowed(embed, "int8")
    return {
        "onnx fp32": compose(enlarge, restore, embed, embed, 32),
        "onnx fp16": compose(enlarge, narrowed(restore, "fp16"), half_embed, half_embed, 32),
        "int8 weights": compose(enlarge, narrowed(restore, "int8"), int8_embed, int8_embed, 32),
        "onnx int8": compose(enlarge, static, int8_embed, int8_embed, 32),
    }


def session(model: onnx.ModelProto, face: NDArray[np.float32]) -> Callable[[], object]:
    """Open a model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        opened = onnxruntime.InferenceSession(path, options)
    return lambda: opened.run(["embeddings"], {"faces": face})


def search() -> Callable[[], object]:
    """Search a gallery of random templates."""
    templates = np.random.default_rng(0).normal(size=(GALLERY, 512)).astype(np.float32)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    index = TemplateIndex(templates)
    return lambda: index.best(templates[7], 2)


def least_seconds(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least seconds of each way over interleaved rounds."""
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            for _ in range(REPEATS):
                start = time.thread_time()
                way()
                least[name] = min(least[name], time.thread_time() - start)
    return least


if __name__ == "__main__":
    main()
