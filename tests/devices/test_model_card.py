"""The ten lines of the model card do what this package does, in Python and in JavaScript."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.deployment.model_card import model_card
from pipeline.recognition.onnx_recognizer import OnnxRecognizer

JAVASCRIPT = Path(__file__).parent / "javascript"
INFORMATION = {
    "precision": "fp32",
    "licence": "none",
    "threshold": 0.3,
    "largest_px": 112,
    "compared_on": "held-out people",
}


@pytest.fixture
def folder(onnx_model: Path, tmp_path: Path) -> Path:
    """The exported file alone in a folder."""
    shutil.copy(onnx_model, tmp_path / "recogniser.onnx")
    return tmp_path


def code(language: str, **information: object) -> str:
    card = model_card(Path("recogniser.onnx"), INFORMATION | information, "")
    return card.partition(f"```{language}\n")[2].partition("```")[0]


def pixels(side: int) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)


def embedding(folder: Path, side: int, flip: bool) -> np.ndarray:
    face = np.ascontiguousarray(pixels(side).transpose(2, 0, 1)[None], np.float32) / 255
    return OnnxRecognizer(folder / "recogniser.onnx", flip=flip).embed(face)[0]


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_code_is_ten_lines(language: str) -> None:
    assert 0 < len(code(language).splitlines()) <= 11


def test_the_python_code_gives_our_score(folder: Path) -> None:
    for name, side in (("a", 16), ("b", 112)):
        Image.fromarray(pixels(side)).save(folder / f"{name}.png")
    done = subprocess.run(
        [sys.executable, "-c", code("python")], cwd=folder, capture_output=True, text=True, check=True
    )
    score = float(embedding(folder, 16, True) @ embedding(folder, 112, True))
    assert float(done.stdout.split()[-1]) == pytest.approx(score, abs=1e-4)


def test_without_a_threshold_the_python_code_decides_nothing() -> None:
    undecided = code("python", threshold=None)
    compile(undecided, "card", "exec")
    assert undecided.endswith("print(score)\n") and "0.3000 else" in code("python")


@pytest.mark.parametrize("side", [7, 16, 32, 112])
def test_the_javascript_code_gives_our_embedding(folder: Path, side: int) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    if not (JAVASCRIPT / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip(f"needs onnxruntime-web: npm install --prefix {JAVASCRIPT}")
    (folder / "node_modules").symlink_to(JAVASCRIPT / "node_modules")
    (folder / "card.mjs").write_text(code("js"), encoding="utf-8")
    rgba = np.dstack([pixels(side), np.full((side, side), 255, np.uint8)]).ravel().tolist()
    script = f"import {{ embed }} from './card.mjs'; console.log(JSON.stringify([...await embed({rgba}, {side})]));"
    (folder / "caller.mjs").write_text(script, encoding="utf-8")
    done = subprocess.run(["node", "caller.mjs"], cwd=folder, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), embedding(folder, side, False), atol=1e-4)
