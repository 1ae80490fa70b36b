"""Smaller numbers in an ONNX graph: weights stored in fewer bits, and convolutions computed in int8."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_SMALLEST_STORED = 64  # values; smaller tensors weigh nothing and stay in float32


def narrowed(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """Store weights in fewer bits; arithmetic stays in float32.

    They are widened by `Cast` and `Mul`, which runtimes fold into constants when they load the file: the speed is that
    of float32, the file a half or a quarter of it.

    Args:
        model: Float32.
        precision: "fp32" (unchanged), "fp16", or "int8" (symmetric, a scale for each output channel; what is no
            factor of a convolution or a matrix product is stored as fp16).
    """
    narrow = onnx.ModelProto()
    narrow.CopyFrom(model)
    if precision == "fp32":
        return narrow
    axes = _channel_axes(narrow.graph) if precision == "int8" else {}
    kept, widening = [], []
    for tensor in narrow.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALLEST_STORED:
            kept.append(tensor)
        else:
            stored, nodes = _stored(tensor.name, values, axes.get(tensor.name))
            kept += stored
            widening += nodes
    nodes = [*widening, *narrow.graph.node]
    del narrow.graph.initializer[:], narrow.graph.node[:]
    narrow.graph.initializer.extend(kept)
    narrow.graph.node.extend(nodes)
    return narrow


def quantised(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round to int8 with the scale that fits the largest value of each channel along `axis`.

    Returns:
        The whole numbers, and the scales shaped so that the product of both is near `values`.
    """
    others = tuple(number for number in range(values.ndim) if number != axis)
    scale = np.abs(values).max(axis=others, keepdims=True).clip(1e-8) / np.float32(127)
    return np.rint(values / scale).clip(-127, 127).astype(np.int8), scale.astype(np.float32)


def calibrated(model: onnx.ModelProto, examples: NDArray[np.float32]) -> onnx.ModelProto:
    """Compute residual convolutions in int8, with ranges seen on examples (static quantisation, QDQ).

    Those from as many channels to as many are most of a super-resolver's work, and their inputs keep one range. The
    others (what reads or draws pixels, changes scale, or mixes places) cost the smallest faces two points of TAR.

    Args:
        model: Float32, from faces to one tensor.
        examples: (N, 3, 112, 112) inputs of the kind it will meet.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / name for name in ("source.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = _residual_convolutions(onnx.load(prepared).graph)
        if not nodes:
            return model
        quantize_static(
            prepared,
            target,
            _Examples(model.graph.input[0].name, examples),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantised_model = onnx.load(target)
    return quantised_model


class _Examples(CalibrationDataReader):  # type: ignore[misc]
    """Hands the examples over one by one, as onnxruntime's calibration asks for them."""

    def __init__(self, name: str, examples: NDArray[np.float32]) -> None:
        self._left: Iterator[dict[str, NDArray[np.float32]]] = iter([{name: example[None]} for example in examples])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, None after the last."""
        return next(self._left, None)


def _residual_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Return the names of dense convolutions wider than a pixel, from as many channels (several) to as many."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    weights = {node.name: shapes.get(node.input[1], []) for node in graph.node if node.op_type == "Conv"}
    return [name for name, shape in weights.items() if len(shape) == 4 and shape[0] == shape[1] > 1 and shape[2] > 1]


def _stored(
    name: str, values: NDArray[np.float32], axis: int | None
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """Return a weight's narrow tensors and the nodes that widen them under its own name."""
    if axis is None:
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        return [half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)]
    whole, scale = quantised(values, axis)
    tensors = [numpy_helper.from_array(whole, f"{name}.whole"), numpy_helper.from_array(scale, f"{name}.scale")]
    widen = helper.make_node("Cast", [f"{name}.whole"], [f"{name}.wide"], to=TensorProto.FLOAT)
    return tensors, [widen, helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name])]


def _channel_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the output-channel axis of each weight that a convolution or a matrix product reads."""
    axes: dict[str, int] = {}
    for node in reversed(graph.node):
        if node.op_type == "Conv":
            axes[node.input[1]] = 0
        elif node.op_type == "MatMul":
            axes[node.input[1]] = -1
        elif node.op_type == "Gemm":
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
        elif node.op_type == "Add" and node.output[0] in axes:  # a base weight and its adapter's product
            axes[node.input[0]] = axes[node.output[0]]
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return {name: axis % ranks[name] for name, axis in axes.items() if name in ranks and ranks[name] > 1}
