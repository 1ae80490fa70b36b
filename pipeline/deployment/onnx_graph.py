"""The chain as one ONNX graph: faces of any size in, unit embeddings and restored faces out.

Enlarging, the choice whether to restore, the super-resolver, EdgeFace and normalisation are inside, so that a caller
in any language passes a face and reads an embedding.
"""

import contextlib
import io
import warnings

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from dataset.views.resolution import LARGEST_VLR_PX
from pipeline.deployment.deployed_networks import DeployedNetworks
from pipeline.deployment.exportable_chain import Enlarge
from pipeline.deployment.onnx_difference import as_difference
from pipeline.deployment.onnx_precision import calibrated, narrowed
from pipeline.deployment.streamlined import streamlined_dsr, streamlined_embed

OPSET = 20
FACES, EMBEDDINGS, RESTORED = "faces", "embeddings", "restored"
FACE_PX = 112


Floats = NDArray[np.float32]


def onnx_chain(networks: DeployedNetworks, precision: str = "fp32", canvases: Floats | None = None) -> onnx.ModelProto:
    """Return the graph that `OnnxRecognizer` runs.

    Args:
        networks: In evaluation mode.
        precision: "fp32", "fp16" or "int8".
        canvases: (N, 3, 112, 112) enlarged training faces, by which int8 chooses its ranges.
    """
    dsr, enlarge = onnx_dsr(networks, precision, canvases), to_onnx(Enlarge(), None)
    if networks.large is networks.small:
        small = large = onnx_embed(networks, precision)
    else:
        tuned, base = (to_onnx(streamlined_embed(each, fold_scales=False)) for each in (networks.small, networks.large))
        small, large = narrowed(as_difference(tuned, base), precision), narrowed(base, precision)
    return compose(enlarge, dsr, small, large, LARGEST_VLR_PX)


def onnx_embed(networks: DeployedNetworks, precision: str) -> onnx.ModelProto:
    """Return EdgeFace for small faces: (B, 3, 112, 112) RGB in [0, 1] to unit embeddings."""
    return narrowed(to_onnx(streamlined_embed(networks.small)), precision)


def onnx_dsr(networks: DeployedNetworks, precision: str, canvases: Floats | None) -> onnx.ModelProto | None:
    """Return the super-resolver, (B, 3, 112, 112) in [0, 1] to the same, or None without one."""
    if networks.dsr is None:
        return None
    model = to_onnx(streamlined_dsr(networks.dsr))
    if precision == "int8" and canvases is not None:
        model = calibrated(model, canvases)
    return narrowed(model, precision)


def to_onnx(module: nn.Module, size_px: int | None = FACE_PX) -> onnx.ModelProto:
    """Translate a module from faces to one tensor; the batch is dynamic.

    Args:
        module: In evaluation mode.
        size_px: Side of its input; None leaves height and width dynamic.
    """
    batch, height, width = (torch.export.Dim(name, min=low) for name, low in (("batch", 1), ("h", 2), ("w", 2)))
    shapes = {0: batch} if size_px else {0: batch, 2: height, 3: width}
    example = torch.rand(2, 3, size_px or 17, size_px or 19)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own deprecations, nothing that a user can change
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[FACES],
            output_names=["result"],
            dynamic_shapes=(shapes,),
            verbose=False,
        )
    if program is None:
        raise TypeError("torch.onnx.export returned no program")
    model: onnx.ModelProto = program.model_proto
    return model


def compose(
    enlarge: onnx.ModelProto,
    dsr: onnx.ModelProto | None,
    small: onnx.ModelProto,
    large: onnx.ModelProto,
    largest_px: int,
) -> onnx.ModelProto:
    """Join the parts into one graph.

    Args:
        enlarge: Any size to 112x112.
        dsr: Restores the enlarged face, or None.
        small: Embeds faces whose longer side is at most `largest_px`, after the super-resolver.
        large: Embeds the others as they are; the same object as `small` where one network serves both.
        largest_px: Where the two ways part.
    """
    first = onnx.compose.add_prefix(enlarge, "enlarge.").graph
    canvas = first.output[0].name
    enter = helper.make_node("Identity", [FACES], [first.input[0].name])
    shared = small is large
    ways = [_way("small", [dsr, None if shared else small], canvas), _way("large", [None if shared else large], canvas)]
    hoisted = _hoist_common_weights(ways)
    outputs = [RESTORED] if shared else [RESTORED, EMBEDDINGS]
    nodes = [enter, *first.node, *_choice(ways[0], ways[1], outputs)]
    weights = [*first.initializer, *hoisted, numpy_helper.from_array(np.array([largest_px]), "largest_px")]
    if shared:
        last = onnx.compose.add_prefix(small, "embed.").graph
        nodes += [helper.make_node("Identity", [RESTORED], [last.input[0].name]), *last.node]
        nodes += [helper.make_node("Identity", [last.output[0].name], [EMBEDDINGS])]
        weights += last.initializer
    return _finished(nodes, weights, small)


def _way(name: str, parts: list[onnx.ModelProto | None], canvas: str) -> onnx.GraphProto:
    """Return a branch that passes the canvas through the parts; its outputs are the restored face and what follows."""
    nodes, weights, outputs = [], [], [f"{name}.seen"]
    nodes.append(helper.make_node("Identity", [canvas], [f"{name}.seen"]))
    for position, part in enumerate(parts):
        if part is None:
            continue
        graph = onnx.compose.add_prefix(part, f"{name}{position}.").graph
        nodes += [helper.make_node("Identity", [outputs[-1]], [graph.input[0].name]), *graph.node]
        weights += graph.initializer
        is_embedding = len(graph.output[0].type.tensor_type.shape.dim) == 2
        outputs = [*outputs, graph.output[0].name] if is_embedding else [graph.output[0].name]
    values = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs]
    return helper.make_graph(nodes, name, [], values, weights)


def _hoist_common_weights(ways: list[onnx.GraphProto]) -> list[onnx.TensorProto]:
    """Move weights that both branches hold out of them, so that the file holds each once.

    What a convolution reads directly stays: onnxruntime rearranges only weights of the branch itself, for twice the
    speed. Weights that are stored in fewer bits are widened in the branch.
    """
    read = {node.input[1] for way in ways for node in way.node if node.op_type == "Conv"}
    first, second = (
        {_contents(tensor): tensor.name for tensor in way.initializer if tensor.name not in read} for way in ways
    )
    common = first.keys() & second.keys()
    hoisted = []
    for way in ways:
        names = {
            tensor.name: f"common.{first[_contents(tensor)]}"
            for tensor in way.initializer
            if _contents(tensor) in common
        }
        kept = [tensor for tensor in way.initializer if tensor.name not in names]
        if way is ways[0]:
            hoisted = [_renamed(tensor, names[tensor.name]) for tensor in way.initializer if tensor.name in names]
        del way.initializer[:]
        way.initializer.extend(kept)
        for node in way.node:
            node.input[:] = [names.get(name, name) for name in node.input]
    return list({tensor.name: tensor for tensor in hoisted}.values())


def _contents(tensor: onnx.TensorProto) -> bytes:
    return repr((tensor.data_type, list(tensor.dims))).encode() + numpy_helper.to_array(tensor).tobytes()


def _renamed(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def _choice(small: onnx.GraphProto, large: onnx.GraphProto, outputs: list[str]) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", [FACES], ["sides"], start=2),
        helper.make_node("ReduceMax", ["sides"], ["longer_side"], keepdims=0),
        helper.make_node("LessOrEqual", ["longer_side", "largest_px"], ["is_small"]),
        helper.make_node("If", ["is_small"], outputs, then_branch=small, else_branch=large),
    ]


def _finished(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], like: onnx.ModelProto) -> onnx.ModelProto:
    source = helper.make_tensor_value_info(FACES, TensorProto.FLOAT, ["batch", 3, "height", "width"])
    targets = [
        helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, ["batch", 512]),
        helper.make_tensor_value_info(RESTORED, TensorProto.FLOAT, ["batch", 3, FACE_PX, FACE_PX]),
    ]
    graph = helper.make_graph(nodes, "recogniser", [source], targets, weights)
    _shorten(graph, {name: name for name in (FACES, EMBEDDINGS, RESTORED)})
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="dsr-edgeface")
    model.ir_version = like.ir_version
    onnx.checker.check_model(model, full_check=True)
    return model


def _shorten(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Number all values and drop notes: the exporter's names and stack traces are a tenth of a small file."""

    def short(name: str) -> str:
        return names.setdefault(name, f"{len(names):x}") if name else ""

    for tensor in graph.initializer:
        tensor.name, tensor.doc_string = short(tensor.name), ""
        del tensor.metadata_props[:]
    for node in graph.node:
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _shorten(attribute.g, names)
    for value in graph.output:
        value.name = short(value.name)
    del graph.value_info[:], graph.metadata_props[:]
