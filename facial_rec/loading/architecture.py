"""Whose network the tensors are, told from their names and shapes, and whether all of it is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facial_rec.loading.backbone import Backbone
from facial_rec.loading.refusals import MismatchError, OtherNetworkError
from facial_rec.networks.edgeface import (
    ARCHITECTURES,
    EDGENEXT_WIDTHS,
    EMBEDDING_SIZE,
    FULL_HEAD,
    Architecture,
    architecture_named,
    expected_shapes,
    name_of,
    rank_for,
)

Shape = tuple[int, ...]
_IMAGENET_CLASSES = 1000
# Tensors that only the named network has.
_OTHER_NETWORKS = {
    "an ArcFace iResNet": ("layer1.0.prelu.weight", "layer4.0.bn1.weight"),
    "an AdaFace IR network": ("input_layer.0.weight", "body.0.res_layer.1.weight"),
    "an IR-50 face network": ("input_layer.0.weight", "body.0.res_layer.0.weight"),
    "a MobileFaceNet": (
        "conv_23.conv.weight",
        "conv_6_sep.conv.weight",
        "dw_conv1.conv.weight",
        "conv2_dw.conv.weight",
    ),
    "a FaceNet InceptionResnet": ("repeat_1.0.branch0.conv.weight", "last_linear.weight"),
    "an RRDB super-resolver": ("conv_first.weight", "conv_last.weight"),
    "a torchvision ResNet": ("layer1.0.conv1.weight", "layer4.0.conv1.weight", "bn1.running_mean"),
    "a ConvNeXt": ("stages.0.blocks.0.conv_dw.weight", "stages.1.downsample.0.weight"),
    "a vision transformer": ("blocks.0.attn.qkv.weight", "patch_embed.proj.weight"),
}
_NAMED_TENSORS = 3


@dataclass(frozen=True)
class Recognised:
    """A network of which it is known whose it is, and that all of it is there.

    Attributes:
        backbone: Its tensors.
        architecture: The EdgeFace that they are.
    """

    backbone: Backbone
    architecture: Architecture


def recognise(backbone: Backbone, arch: str | None = None) -> Recognised:
    """Tell which EdgeFace variant the tensors belong to, by their names, shapes and ranks alone.

    Args:
        backbone: Its tensors.
        arch: The variant expected; None takes the one that the tensors show.

    Raises:
        OtherNetworkError: They belong to another network, which is named if it is a common one.
        MismatchError: No single rank ratio explains the factored linears; it is another variant than expected; or
            tensors are missing, unexpected or of another shape.
    """
    path = backbone.raw.file.path
    architecture = _variant(path, {name: tuple(tensor.shape) for name, tensor in backbone.tensors.items()})
    check_asked(path, architecture, arch)
    check_complete(path, backbone.tensors, architecture)
    return Recognised(backbone, architecture)


def check_complete(path: Path, tensors: Mapping[str, Tensor], architecture: Architecture) -> None:
    """Compare names and shapes with the network's own.

    Raises:
        MismatchError: Tensors are missing, unexpected or of another shape; the first three of each are named.
    """
    expected = expected_shapes(architecture)
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    reshaped = [
        f"{name} is {_shape(tensors[name].shape)} for {_shape(expected[name])}"
        for name in expected
        if name in tensors and tuple(tensors[name].shape) != expected[name]
    ]
    faults = [
        f"{len(names)} {fault} ({', '.join(names[:_NAMED_TENSORS])}{', ...' if len(names) > _NAMED_TENSORS else ''})"
        for fault, names in (("missing", missing), ("unexpected", extra), ("of another shape", reshaped))
        if names
    ]
    if faults:
        found = len(expected) - len(missing) - len(reshaped)
        raise MismatchError(
            f"{path}: {found} of {len(expected)} tensors of {name_of(architecture)} found; {'; '.join(faults)}; "
            "give the whole checkpoint of one EdgeFace, as it was saved"
        )


def check_asked(path: Path, architecture: Architecture, asked: str | None) -> None:
    """Compare the architecture found with the one that the user named.

    Raises:
        MismatchError: They differ, or there is no such variant.
    """
    if asked is None:
        return
    found = name_of(architecture)
    if architecture_named(asked) not in (architecture, architecture_named(found.removesuffix(FULL_HEAD))):
        raise MismatchError(f"{path}: its tensors are {found}, not {asked}; drop --arch, or give --arch {found}")


def _variant(path: Path, shapes: Mapping[str, Shape]) -> Architecture:
    if any(name.startswith("features.") and ".conv_1x1_in." in name for name in shapes):
        return ARCHITECTURES["edgeface_s"]
    network = _network_by_widths(shapes)
    whole = {_whole_name(name) for name in shapes}
    overlap = {
        candidate: len(whole & expected_shapes(Architecture(candidate)).keys())
        for candidate in ([network] if network else EDGENEXT_WIDTHS)
    }
    network = max(overlap, key=lambda name: overlap[name])
    if overlap[network] < len(whole) / 2:
        raise OtherNetworkError(f"{path}: {_other_network(shapes)}, not an EdgeFace; see: python -m facial_rec list")
    _refuse_other_outputs(path, shapes)
    factored = {name for name in shapes if name.endswith(".linear1.weight")}
    if not factored:
        return Architecture(network)
    full_head = not any(name.startswith("head.") for name in factored) and "head.fc.weight" in shapes
    return Architecture(network, _rank_ratio(path, shapes, factored), factored_head=not full_head)


def _other_network(shapes: Mapping[str, Shape]) -> str:
    for network, marks in _OTHER_NETWORKS.items():
        if sum(any(name.endswith(mark) for name in shapes) for mark in marks) >= min(2, len(marks)):
            return network
    return f"an unknown network ({len(shapes)} tensors, first {', '.join(list(shapes)[:_NAMED_TENSORS])})"


def _refuse_other_outputs(path: Path, shapes: Mapping[str, Shape]) -> None:
    last = shapes.get("head.fc.weight") or shapes.get("head.fc.linear2.weight")
    if last is None or not last or last[0] == EMBEDDING_SIZE:
        return
    if last[0] == _IMAGENET_CLASSES:
        raise OtherNetworkError(
            f"{path}: an ImageNet EdgeNeXt (1000 classes), not an EdgeFace ({EMBEDDING_SIZE}-d embeddings); "
            "get EdgeFace weights: python -m facial_rec list"
        )
    raise OtherNetworkError(f"{path}: an EdgeNeXt with {last[0]} outputs, while EdgeFace has {EMBEDDING_SIZE}")


def _network_by_widths(shapes: Mapping[str, Shape]) -> str | None:
    found = tuple(shapes.get(f"stages.{stage}.blocks.0.gamma") for stage in range(4))
    for network, widths in EDGENEXT_WIDTHS.items():
        if found == tuple((width,) for width in widths):
            return network
    return None


def _whole_name(name: str) -> str:
    return name.replace(".linear1.", ".").replace(".linear2.", ".")


def _rank_ratio(path: Path, shapes: Mapping[str, Shape], factored: set[str]) -> float:
    """Return the shortest decimal ratio that gives every factored linear its rank."""
    layers = []
    for name in factored:
        first, second = shapes[name], shapes.get(name.replace("linear1", "linear2"))
        if second is not None and len(first) == len(second) == 2:
            layers.append((first[1], second[0], first[0]))
    for decimals in (1, 2, 3, 4):
        for step in range(1, 10**decimals + 1):
            ratio = step / 10**decimals
            if all(rank_for(inputs, outputs, ratio) == rank for inputs, outputs, rank in layers):
                return ratio
    ranks = ", ".join(str(rank) for rank in sorted({rank for _, _, rank in layers})[:5])
    raise MismatchError(
        f"{path}: no single rank ratio gives its factored linears their ranks ({ranks}); was it pruned?"
    )


def _shape(shape: torch.Size | Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"
