"""An adapted network in a graph as its base plus what distinguishes it, as its adapter holds it.

Adapters add products of two thin matrices to weights (`facial_rec.loading.adapter`). Written out, they would double the
file; as products they are a few hundred kilobytes, which runtimes add up when they load it.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_SMALLEST = 1024  # values; factors of smaller tensors save nothing
_ROUNDING = 1e-4  # of the largest singular value: what float32 leaves of a sum

Floats = NDArray[np.float32]


def as_difference(model: onnx.ModelProto, base: onnx.ModelProto) -> onnx.ModelProto:
    """Write weights that differ from the base's by a matrix of low rank as base weight plus product.

    Args:
        model: A network.
        base: Another of the same architecture, translated in the same way.

    Returns:
        What computes the same as `model`, and holds the base's weights bit for bit, so that they can be shared.
    """
    own = onnx.ModelProto()
    own.CopyFrom(model)
    originals = {tensor.name: tensor for tensor in base.graph.initializer}
    kept: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in own.graph.initializer:
        original = originals.get(tensor.name)
        factors = None if original is None else _factors(numpy_helper.to_array(tensor), numpy_helper.to_array(original))
        if original is None or factors is None:
            kept.append(tensor)
            continue
        names = [f"{tensor.name}.{part}" for part in ("base", "up", "down", "shape", "product", "change")]
        values = [numpy_helper.to_array(original), *factors, np.array(tensor.dims, np.int64)]
        kept += [numpy_helper.from_array(value, name) for value, name in zip(values, names[:4], strict=True)]
        nodes += [
            helper.make_node("MatMul", names[1:3], [names[4]]),
            helper.make_node("Reshape", [names[4], names[3]], [names[5]]),
            helper.make_node("Add", [names[0], names[5]], [tensor.name]),
        ]
    nodes += own.graph.node
    del own.graph.initializer[:], own.graph.node[:]
    own.graph.initializer.extend(kept)
    own.graph.node.extend(nodes)
    return own


def _factors(weight: Floats, base: Floats) -> tuple[Floats, Floats] | None:
    """Return thin matrices whose product is the difference, or None where that saves nothing."""
    if (
        weight.dtype != np.float32
        or weight.shape != base.shape
        or weight.size < _SMALLEST
        or np.array_equal(weight, base)
    ):
        return None
    change = (weight.astype(np.float64) - base).reshape(len(weight), -1)
    left, strengths, right = np.linalg.svd(change, full_matrices=False)
    rank = int((strengths > _ROUNDING * strengths[0]).sum())
    if rank * sum(change.shape) > change.size // 2:
        return None
    root = np.sqrt(strengths[:rank])
    return (left[:, :rank] * root).astype(np.float32), (root[:, None] * right[:rank]).astype(np.float32)
