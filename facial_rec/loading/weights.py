"""Reading an EdgeFace file whole, whatever holds it, or refusing it.

What a file is comes from its bytes (`containers`), what it may do from a dry run (`pickles`, `programs`), where its
network is from its names (`backbone`), and whose network it is from names, shapes and ranks (`recognition`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.files import sha256_of
from facial_rec.loading.architecture import check_asked, check_complete, recognise
from facial_rec.loading.backbone import Backbone, find_backbone
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.containers import Container, identify
from facial_rec.loading.finetuned import FINETUNED_FORMAT, save_finetuned
from facial_rec.loading.hub import OFFICIAL_SHA256
from facial_rec.loading.pickles import check_legacy_pickle, check_zip_pickle, refuse_code
from facial_rec.loading.programs import Program, open_program
from facial_rec.loading.refusals import DamagedError, ValuesError, WeightsError
from facial_rec.loading.sources import find_weights
from facial_rec.loading.torch_notices import no_deprecation_notices
from facial_rec.networks.edgeface import architecture_named, name_of, skeleton

__all__ = ["Weights", "WeightsError", "find_weights", "load_network", "read_weights", "save_finetuned", "weights_of"]

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


def read_weights(path: str | Path, arch: str | None = None) -> Weights:
    """Read an EdgeFace from any container, with every tensor accounted for.

    Args:
        path: A weights file.
        arch: The variant expected; None takes the one that the tensors show.

    Raises:
        WeightsError: The file is refused; see `refusals` for the reasons.
    """
    path = Path(path)
    container = identify(path)
    if container in (Container.TORCHSCRIPT, Container.EXPORTED):
        return weights_of(open_program(path, container), arch)
    stored, metadata = (
        _read_safetensors(path) if container is Container.SAFETENSORS else _read_checkpoint(path, container)
    )
    return _checked(path, container, stored, metadata, arch)


def weights_of(program: Program, arch: str | None = None) -> Weights:
    """Read the weights inside a TorchScript or exported program.

    Raises:
        WeightsError: They are not a whole EdgeFace's.
    """
    return _checked(program.source, program.container, program.state_dict, program.metadata, arch)


def load_network(weights: Weights) -> nn.Module:
    """Build the network of these weights: frozen, in evaluation mode, on the CPU, sharing memory with `weights`."""
    network = skeleton(architecture_named(weights.arch))
    network.load_state_dict(weights.state_dict, strict=True, assign=True)
    return network.requires_grad_(False).eval()


def _checked(path: Path, container: Container, stored: Any, metadata: dict[str, Any], arch: str | None) -> Weights:
    found = find_backbone(path, stored)
    architecture = recognise(path, found.tensors)
    check_asked(path, architecture, arch)
    tensors = _with_counters(found.tensors)
    check_complete(path, tensors, architecture)
    dtype = "qint8" if found.quantised else _dtype_of(found.tensors)
    state = {name: _to_float(tensor, container) for name, tensor in tensors.items()}
    check_values(path, state)
    check_contents(path, state, metadata)
    sha256 = sha256_of(path)
    finetuned = metadata.get("format") == FINETUNED_FORMAT
    return Weights(
        state_dict=state,
        arch=name_of(architecture),
        container=container,
        kind="fine-tuned" if finetuned else "dynamically quantised" if found.quantised else "float",
        sha256=sha256,
        source=path,
        dtype=dtype,
        metadata=metadata | _found_at(found),
        ignored=found.ignored,
        official=OFFICIAL_SHA256.get(sha256),
    )


def _read_checkpoint(path: Path, container: Container) -> tuple[Any, dict[str, Any]]:
    legacy = container is Container.LEGACY
    refuse_code(path, check_legacy_pickle(path) if legacy else check_zip_pickle(path))
    try:
        with no_deprecation_notices():
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError) as error:
        raise _unreadable(path, error) from None
    except Exception as error:
        # weights_only unpickling reports every fault as a pickle.UnpicklingError, whatever its cause.
        raise _unreadable(path, error) from None
    return stored, _plain_metadata(stored)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, RuntimeError, ValueError, TypeError, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DamagedError:
    return DamagedError(f"{path}: cannot be read whole ({' '.join(str(error).split())[:120]}); download it again")


def _plain_metadata(stored: Any) -> dict[str, Any]:
    """Keep what a checkpoint says of itself: short plain values, and its own `metadata`."""
    if not isinstance(stored, Mapping):
        return {}
    plain = {
        str(name): value
        for name, value in stored.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) < 200
    }
    own = stored.get("metadata")
    return plain | (dict(own) if isinstance(own, Mapping) else {})


def _found_at(found: Backbone) -> dict[str, Any]:
    places = {"wrapping": found.wrapping, "prefix": found.prefix}
    return {name: place for name, place in places.items() if place}


def _with_counters(tensors: dict[str, Any]) -> dict[str, Any]:
    """Add the step counters that batch norm did not have before torch 0.4.1; inference never reads them."""
    counters = {
        name.removesuffix("running_mean") + "num_batches_tracked" for name in tensors if name.endswith(".running_mean")
    }
    return tensors | {name: torch.tensor(0) for name in sorted(counters) if name not in tensors}


def _to_float(tensor: Tensor, container: Container) -> Tensor:
    """Return a tensor in float32 that shares memory with nothing but, at most, the tensor itself."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    # safetensors maps the file, which may be replaced on disk; a part of a larger tensor would keep all of it.
    shared = container is Container.SAFETENSORS or tensor.untyped_storage().nbytes() != tensor.nbytes
    converted = tensor.detach().to(dtype, copy=shared).contiguous()
    if container in (Container.CHECKPOINT, Container.LEGACY):
        tensor.data = converted  # lets go of what was stored, so that both are never held for the whole file
    return converted


def _dtype_of(tensors: Mapping[str, Tensor]) -> str:
    names = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if tensor.is_floating_point()}
    return " and ".join(sorted(names))


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
