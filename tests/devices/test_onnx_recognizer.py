"""Both backends give the same embeddings, at every size, and only one of them needs torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.deployment.deployed_networks import DeployedNetworks
from pipeline.recognition.onnx_recognizer import OnnxModelError, OnnxRecognizer, shrink_to_face
from pipeline.recognition.torch_recognizer import enlarge_faces


def faces(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).random((count, 3, height, width), np.float32)


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    ("height", "width"), [(6, 6), (7, 9), (16, 16), (32, 32), (33, 33), (20, 40), (112, 112), (150, 130)]
)
def test_both_backends_agree_to_1e_4_at_every_size(
    deployed: DeployedNetworks, onnx_model: Path, flip: bool, height: int, width: int
) -> None:
    batch = faces(2, height, width)
    found = OnnxRecognizer(onnx_model, flip=flip).embed(batch)
    assert found.dtype == np.float32 and found.shape == (2, 512)
    np.testing.assert_allclose(found, deployed.embed(batch, flip), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [8, 32, 40, 112])
def test_both_backends_show_the_same_restored_face(deployed: DeployedNetworks, onnx_model: Path, size: int) -> None:
    batch = faces(1, size, size)
    np.testing.assert_allclose(OnnxRecognizer(onnx_model).restore(batch), deployed.restore(batch), atol=1e-4)


def test_a_face_alone_is_embedded_as_in_a_batch(onnx_model: Path) -> None:
    recogniser, batch = OnnxRecognizer(onnx_model), faces(5, 16, 16)
    alone = np.concatenate([recogniser.embed(face[None]) for face in batch])
    np.testing.assert_allclose(recogniser.embed(batch), alone, atol=1e-5)


def test_large_faces_are_shrunk_as_torch_does() -> None:
    batch = faces(2, 200, 160)
    wanted = enlarge_faces(torch.from_numpy(batch), "bicubic").numpy()
    np.testing.assert_allclose(shrink_to_face(batch), wanted, atol=1e-5)


def test_nothing_on_the_way_of_onnx_imports_torch(onnx_model: Path, root: Path) -> None:
    code = f"""
import sys
import pipeline.enroll, pipeline.identify, pipeline.verify, pipeline.gallery, pipeline.demo
import pipeline.recognition.web_app
from pipeline.recognition.onnx_recognizer import OnnxRecognizer
OnnxRecognizer({str(onnx_model)!r})
print([name for name in ("torch", "timm", "cv2", "matplotlib", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_small_distribution_lists_what_its_modules_import(root: Path) -> None:
    import ast
    import tomllib

    built = tomllib.loads((root / "devices" / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(built["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].values())
    modules = {path for path in listed if path.endswith(".py")}
    for module in modules:
        for node in ast.walk(ast.parse((root / module).read_text(encoding="utf-8"))):
            name = node.module if isinstance(node, ast.ImportFrom) else None
            if name and name.split(".")[0] in ("engine", "dataset", "pipeline", "dsr", "facial_rec"):
                assert f"{name.replace('.', '/')}.py" in modules | {"pipeline/deployment/deployed_networks.py"}, (
                    module,
                    name,
                )


@pytest.mark.parametrize(("package", "folder"), [("dsr_device", "devices"), ("pipeline", ".")])
def test_the_example_in_the_help_names_the_distribution(root: Path, package: str, folder: str) -> None:
    code = (
        f"import sys, runpy; sys.path[:0] = [{str(root / folder)!r}, {str(root)!r}]; "
        f"sys.argv = ['{package}', 'verify', '--help']; runpy.run_module('{package}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert f"Example: python -m {package} verify one.jpg other.jpg" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "onnxruntime cannot read it; export it again"), (b"x" * 99, "copy it again")]
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(OnnxModelError, match=message) as raised:
        OnnxRecognizer(path)
    assert "\n" not in str(raised.value)


def test_another_onnx_file_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", 1, [1])
    result = onnx.helper.make_tensor_value_info("y", 1, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [result]))
    model.ir_version = 10
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(OnnxModelError, match="not an exported recogniser"):
        OnnxRecognizer(tmp_path / "other.onnx")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OnnxModelError, match=r"no such model; .* --out .*/none\.onnx$"):
        OnnxRecognizer(tmp_path / "none.onnx")


def test_metadata_is_read_from_the_file(onnx_model: Path) -> None:
    recogniser = OnnxRecognizer(onnx_model)
    assert (recogniser.model, recogniser.threshold) == ("f" * 64, 0.3)
    assert json.dumps(recogniser.metadata)
