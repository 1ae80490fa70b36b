"""A small chain with random networks, evaluated once for the tests of the pipeline."""

import json

import numpy as np
import pytest
import torch

from dataset.store import FaceStore
from dsr.dsr_file import load_dsr, save_dsr
from dsr.network import DSR
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.saving import save_finetuned
from facial_rec.networks.edgeface import build
from pipeline.evaluate_dataset import main as evaluate_main
from pipeline.recognition.torch_recognizer import Recognizer

NAMES = ["Anna, the first", 'Bo "B" Berg', "Çelik Öz", "dana evans", "Eve", "Finn", "Gil", "Hao", "Ida", "Jo"]


def faces_of(people, images, seed):
    """Blurred noise, stable for a person, with a little noise for each photograph."""
    draw = torch.Generator().manual_seed(seed)
    for name in people:
        base = torch.rand(1, 3, 7, 7, generator=draw)
        for number in range(images if name != people[-1] else 1):
            face = torch.nn.functional.interpolate(
                base + 0.25 * torch.randn(1, 3, 7, 7, generator=draw), (112, 112), mode="bicubic"
            )
            yield f"{name}/{number}.png", name, (face[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


def build_split(folder, people, seed, images=4):
    rows = list(faces_of(people, images, seed))
    return FaceStore.build(
        folder, [face for _, _, face in rows], [name for name, _, _ in rows], [who for _, who, _ in rows]
    )


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Splits and random networks: enough to go through everything, not to recognise anybody."""
    root = tmp_path_factory.mktemp("chain")
    build_split(root / "val_processed", [f"dev {n}" for n in range(10)], 1)
    build_split(root / "test_processed", NAMES, 2)
    torch.manual_seed(0)
    for name in ("original", "finetuned"):
        save_finetuned(root / f"{name}.pth", "edgeface_xxs", build("edgeface_xxs").state_dict(), {})
    save_dsr(root / "dsr.pth", DSR("small"), {})
    return root


def evaluation_arguments(chain, out, *more):
    networks = [
        "--edgeface",
        chain / "original.pth",
        "--dsr",
        chain / "dsr.pth",
        "--finetuned",
        chain / "finetuned.pth",
    ]
    places = ["--dataset-root", chain / "test_processed", "--out", out, "--cache", chain / "cache", "--device", "cpu"]
    return [str(value) for value in [*places, *networks, "--sizes", "8,16", "--bootstrap", "50", *more]]


@pytest.fixture(scope="session")
def arguments():
    """Flags of an evaluation of the small chain, without plots."""
    return lambda chain, out, *more: evaluation_arguments(chain, out, "--no-plots", *more)


@pytest.fixture(scope="session")
def run():
    """Call a command's `main` and return its exit code."""

    def call(main, argv):
        with pytest.raises(SystemExit) as stopped:
            main([str(value) for value in argv])
        return stopped.value.code

    return call


@pytest.fixture(scope="session")
def report_folder(chain, run):
    out = chain / "report"
    assert run(evaluate_main, evaluation_arguments(chain, out)) == 0
    return out


@pytest.fixture(scope="session")
def make_split():
    """Build a split of people: `make_split(folder, people, seed)`."""
    return build_split


@pytest.fixture(scope="session")
def embedded(chain):
    """Embed a face, (h, w, 3) uint8, by the way of its size: `embedded(pixels)` is (512,)."""
    edgeface = {name: EdgeFaceEmbedding(chain / f"{name}.pth") for name in ("original", "finetuned")}
    small = Recognizer(edgeface["finetuned"], load_dsr(chain / "dsr.pth", torch.device("cpu")))
    large, known = Recognizer(edgeface["original"]), {}

    def embed(pixels):
        key = pixels.shape, pixels.tobytes()
        if key not in known:
            recogniser = small if max(pixels.shape[:2]) <= 32 else large
            face = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255
            known[key] = recogniser.embed(face).numpy()[0]
        return known[key]

    return embed


@pytest.fixture(scope="session")
def evaluate(chain, run):
    """Evaluate by a published protocol with the small chain; return the report."""

    def call(protocol, root, out, *more, code=0):
        weights = ["--edgeface", chain / "original.pth", "--dsr", chain / "dsr.pth", "--adapter", "none"]
        weights += ["--finetuned", chain / "finetuned.pth", "--device", "cpu", "--cache", out / "cache"]
        argv = ["--protocol", protocol, root, "--out", out, "--systems", "dsr+finetuned", *weights, *more]
        assert run(evaluate_main, argv) == code
        return json.loads((out / "report.json").read_text()) if code == 0 else None

    return call
