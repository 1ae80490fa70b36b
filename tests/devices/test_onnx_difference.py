"""An adapted network travels as its base and the difference."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.deployment.onnx_difference import as_difference
from pipeline.deployment.onnx_precision import narrowed

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")


def product(weight: np.ndarray) -> onnx.ModelProto:
    source = helper.make_tensor_value_info("faces", 1, ["batch", weight.shape[0]])
    target = helper.make_tensor_value_info("result", 1, ["batch", weight.shape[1]])
    node = helper.make_node("MatMul", ["faces", "weight"], ["result"])
    graph = helper.make_graph([node], "g", [source], [target], [numpy_helper.from_array(weight, "weight")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, faces: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"faces": faces})[0]


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


@pytest.mark.parametrize("rank", [1, 6])
def test_a_low_rank_change_is_stored_as_thin_matrices_beside_the_base(rank: int) -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=(96, 80)).astype(np.float32)
    tuned = base + (0.05 * draw.normal(size=(96, rank)) @ draw.normal(size=(rank, 80))).astype(np.float32)
    faces = draw.normal(size=(3, 96)).astype(np.float32)
    written = as_difference(product(tuned), product(base))
    np.testing.assert_allclose(run(written, faces), faces @ tuned, atol=1e-4)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    np.testing.assert_array_equal(tensors["weight.base"], base)
    assert tensors["weight.up"].shape == (96, rank)


@pytest.mark.parametrize("change", ["none", "full rank"])
def test_other_weights_are_kept_as_they_are(change: str) -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=(96, 80)).astype(np.float32)
    tuned = base if change == "none" else base + draw.normal(size=base.shape).astype(np.float32)
    written = as_difference(product(tuned), product(base))
    assert [tensor.name for tensor in written.graph.initializer] == ["weight"]


def test_the_base_is_rounded_to_int8_as_in_the_base_itself() -> None:
    draw = np.random.default_rng(0)
    base = draw.normal(size=(96, 80)).astype(np.float32)
    tuned = base + (0.05 * draw.normal(size=(96, 2)) @ draw.normal(size=(2, 80))).astype(np.float32)
    alone = numpy_helper.to_array(initializer(narrowed(product(base), "int8"), "weight.whole"))
    beside = narrowed(as_difference(product(tuned), product(base)), "int8")
    np.testing.assert_array_equal(alone, numpy_helper.to_array(initializer(beside, "weight.base.whole")))
