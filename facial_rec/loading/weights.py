"""From a weights file to a checked network, step by step, or a refusal.

Each step takes what the step before returned, and says what it found.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.files import sha256_of
from facial_rec.loading.architecture import Recognised
from facial_rec.loading.backbone import Backbone, find_backbones
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.choice import choose
from facial_rec.loading.containers import PROGRAMS, Container, identify
from facial_rec.loading.hub import OFFICIAL_SHA256
from facial_rec.loading.refusals import DamagedError, ValuesError
from facial_rec.loading.tensors import RawTensors, read_tensors
from facial_rec.networks.edgeface import architecture_named, name_of, skeleton

FINETUNED_FORMAT = "edgeface-finetuned"
# Weights are below 100 and variances below 10^5; a flip of a float's highest exponent bit gives 10^19 and more.
_LARGEST_VALUE = 1e10


@dataclass(frozen=True)
class Weights:
    """A whole, checked EdgeFace.

    Attributes:
        state_dict: float32 tensors on the CPU under the names of `edgeface.build(arch)`.
        arch: Variant, see `edgeface.architecture_named`.
        container: How the file stores them.
        kind: In words: "float", "dynamically quantised" or "fine-tuned".
        sha256: Of the file's bytes.
        source: The file.
        dtype: Stored precision, as "float16"; "qint8" for quantised linears.
        metadata: What the file says of itself.
        ignored: Names of tensors beside the network, which were left out.
        official: Name of the published file that this is, byte for byte; None for any other.
    """

    state_dict: dict[str, Tensor]
    arch: str
    container: Container
    kind: str
    sha256: str
    source: Path
    dtype: str
    metadata: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    official: str | None = None

    @property
    def described(self) -> str:
        """How the network is held, in words: "float state_dict" or "TorchScript, rebuilt"."""
        if self.container in PROGRAMS:
            return f"{self.container}, rebuilt"
        return f"{self.kind} {self.container if self.container is Container.SAFETENSORS else 'state_dict'}"


def read_weights(path: str | Path, arch: str | None = None, key: str | None = None) -> Weights:
    """Read an EdgeFace from any container, with every tensor accounted for.

    Args:
        path: A weights file.
        arch: The variant expected; None takes the one that the tensors show.
        key: Where in the file it is, see `choice.choose`; None where that is clear.

    Raises:
        WeightsError: The file is refused; see `refusals` for the reasons.
    """
    file = identify(Path(path))
    raw = read_tensors(file)
    return weights_in(raw, arch, key)


def weights_in(raw: RawTensors, arch: str | None = None, key: str | None = None) -> Weights:
    """Find and check the EdgeFace in what a file holds.

    Raises:
        WeightsError: There is no whole one.
    """
    backbones = find_backbones(raw)
    recognised = choose(backbones, arch, key)
    return check_weights(recognised)


def check_weights(recognised: Recognised) -> Weights:
    """Check the numbers, and bring them to float32.

    Raises:
        ValuesError: They cannot be a trained network's.
        DamagedError: They are not those that were written.
    """
    backbone, raw = recognised.backbone, recognised.backbone.raw
    path = raw.file.path
    dtype = "qint8" if backbone.quantised else _dtype_of(backbone.tensors)
    state = {name: _to_float(tensor, raw) for name, tensor in backbone.tensors.items()}
    check_values(path, state)
    check_contents(path, state, raw.metadata)
    sha256 = sha256_of(path)
    finetuned = raw.metadata.get("format") == FINETUNED_FORMAT
    return Weights(
        state_dict=state,
        arch=name_of(recognised.architecture),
        container=raw.file.container,
        kind="fine-tuned" if finetuned else "dynamically quantised" if backbone.quantised else "float",
        sha256=sha256,
        source=path,
        dtype=dtype,
        metadata=raw.metadata | _found_at(backbone),
        ignored=backbone.ignored,
        official=OFFICIAL_SHA256.get(sha256),
    )


def load_network(weights: Weights) -> nn.Module:
    """Build the network of these weights: frozen, in evaluation mode, on the CPU, sharing memory with `weights`."""
    network = skeleton(architecture_named(weights.arch))
    network.load_state_dict(weights.state_dict, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def check_values(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse numbers that no trained network has.

    Raises:
        ValuesError: NaN, infinite or enormous values, negative variances, or weights that are all zero.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel():
            _check_range(path, name, tensor)
    weights = [tensor for name, tensor in state.items() if name.endswith("weight") and tensor.dim() > 1]
    if not any(tensor.any() for tensor in weights):
        raise ValuesError(f"{path}: every weight is zero; the training or the copy failed, use another file")


def _check_range(path: Path, name: str, tensor: Tensor) -> None:
    lowest, highest = torch.stack(torch.aminmax(tensor)).tolist()
    if not math.isfinite(lowest) or not math.isfinite(highest):
        count = int((~torch.isfinite(tensor)).sum())
        raise ValuesError(f"{path}: {name} has {count} NaN or infinite values; use an earlier checkpoint")
    if max(-lowest, highest) > _LARGEST_VALUE:
        raise ValuesError(
            f"{path}: {name} holds {max(-lowest, highest):.1e}, which no trained network does; "
            "the file is damaged or the training diverged, use another"
        )
    if name.endswith("running_var") and lowest < 0:
        raise ValuesError(f"{path}: {name} holds a negative variance ({lowest:.1e}); download the file again")


def check_contents(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Compare the tensors with the checksum that this project writes beside them.

    Raises:
        DamagedError: They differ.
    """
    stated = metadata.get("contents_sha256")
    if stated is not None and stated != contents_sha256(state):
        raise DamagedError(f"{path}: its tensors do not have the checksum that it states; download or convert it again")


def _found_at(found: Backbone) -> dict[str, Any]:
    return {"place": found.place} if found.place else {}


def _to_float(tensor: Tensor, raw: RawTensors) -> Tensor:
    """Return a tensor in float32 that shares memory with nothing but, at most, the tensor itself."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    # A part of a larger tensor would keep all of it.
    shared = raw.mapped or tensor.untyped_storage().nbytes() != tensor.nbytes
    converted = tensor.detach().to(dtype, copy=shared).contiguous()
    if raw.program is None:
        tensor.data = converted  # lets go of what was stored, so that both are never held for the whole file
    return converted


def _dtype_of(tensors: Mapping[str, Tensor]) -> str:
    names = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if tensor.is_floating_point()}
    return " and ".join(sorted(names))
