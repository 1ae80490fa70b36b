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

from dsr.dsr_file import load_dsr
from facial_rec.networks.edgeface import build
from pipeline.deployment.deployed_networks import DeployedNetworks
from pipeline.deployment.exportable_chain import Chain
from pipeline.deployment.onnx_graph import onnx_chain
from pipeline.recognition.template_search import TemplateIndex

ROUNDS, REPEATS, GALLERY = 12, 3, 100_000


def main() -> None:
    """Print milliseconds, ratios, sizes, and the cost of a search; EdgeFace's weights are random: time is the same."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dsr, edgeface = load_dsr(None).eval(), build("edgeface_xxs").eval()
    networks = DeployedNetworks(dsr, edgeface, edgeface, {})
    canvases = np.random.default_rng(0).random((20, 3, 112, 112), np.float32)
    models = {f"onnx {precision}": onnx_chain(networks, precision, canvases) for precision in ("fp32", "fp16", "int8")}
    face = torch.rand(1, 3, 16, 16)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and compared for that reason
        chain = Chain(dsr, edgeface).eval()
        script = torch.jit.freeze(torch.jit.trace(chain, face))  # type: ignore[no-untyped-call]
        ways: dict[str, Callable[[], object]] = {
            "eager torch": lambda: chain(face),
            "torchscript": lambda: script(face),
        }
        ways |= {name: session(model, face.numpy()) for name, model in models.items()}
        ways["search"] = search()
        least = least_seconds(ways)
    print("| one face of 16 px | ms | beside eager torch | beside TorchScript | file, MB |")
    print("| --- | --- | --- | --- | --- |")
    for name, seconds in least.items():
        ratios = [f"{least[other] / seconds:.2f}x" for other in ("eager torch", "torchscript")]
        size = f"{models[name].ByteSize() / 1e6:.2f}" if name in models else ""
        print(f"| {name} | {1000 * seconds:.2f} | {' | '.join(ratios)} | {size} |")
    for name in models:
        alone, mirrored = (1 + least["search"] / (views * least[name]) for views in (1, 2))
        print(
            f"identify in {GALLERY:,}, {name}: {mirrored:.2f}x the embedding's time ({alone:.2f}x without mirror image)"
        )


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
