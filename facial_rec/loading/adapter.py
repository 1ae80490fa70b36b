"""Adapters: files that turn one EdgeFace into another, for faces of certain sizes.

An adapter holds only the tensors that differ: whole (`key`), or for linears and convolutions as a product of two thin
matrices (`key.lora_up` @ `key.lora_down`, added to the weight as rows by all the rest). They are kept in float16, half
the size, and applied in float32.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from engine.files import sha256_of, write_bytes
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.refusals import AdapterError

SHIPPED = Path(__file__).parents[1] / "adapters"
Extent = Literal["full", "small"]
_FORMAT = "edgeface-adapter"
_VERSION = 1
_METADATA = "edgeface_adapter"
_DOWN, _UP = ".lora_down", ".lora_up"
_FLOAT32_STEP = 2.0**-23


@dataclass(frozen=True)
class Adapter:
    """What an adapter file holds.

    Attributes:
        tensors: Whole tensors and low-rank factors, under the names described above.
        metadata: Plain JSON: format, version, base_contents_sha256, base_sha256, base_arch, min_size_px, max_size_px,
            metrics, licence, and what its maker added.
        sha256: Of the file's bytes.
        source: The file.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, Any]
    sha256: str
    source: Path


def write_adapter(
    path: Path, base_state: Mapping[str, Tensor], tuned_state: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write what distinguishes a tuned network from its base.

    Args:
        path: A `.safetensors` file, written whole or not at all.
        base_state: The base's tensors (`Weights.state_dict`).
        tuned_state: The same names and shapes after tuning.
        metadata: Plain JSON values: base_arch, base_sha256, min_size_px, max_size_px, metrics, licence, ...

    Raises:
        AdapterError: The two networks have other tensors, or do not differ.
    """
    _check_same_tensors(path, base_state, tuned_state)
    tensors: dict[str, Tensor] = {}
    for name, base in base_state.items():
        tuned = tuned_state[name].detach().cpu()
        if not torch.equal(base, tuned):
            tensors |= _difference(name, base.float(), tuned.float())
    if not tensors:
        raise AdapterError(f"{path}: the tuned network equals its base, so there is nothing to write")
    stated = dict(metadata) | {
        "format": _FORMAT,
        "version": _VERSION,
        "base_contents_sha256": contents_sha256(base_state),
    }
    write_bytes(path, serialise(tensors, {_METADATA: json.dumps(stated, sort_keys=True, allow_nan=False)}))


def read_adapter(path: str | Path) -> Adapter:
    """Read an adapter file.

    Raises:
        AdapterError: It is missing, damaged, or no adapter.
    """
    path = Path(path)
    if not path.is_file():
        raise AdapterError(f"{path}: no such adapter file; check the path")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = json.loads((file.metadata() or {}).get(_METADATA, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise AdapterError(f"{path}: not a readable adapter ({reason}); download it again") from None
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise AdapterError(
            f"{path}: a safetensors file, but no adapter; if it is a whole EdgeFace, pass it as --edgeface"
        )
    if metadata.get("version") != _VERSION:
        raise AdapterError(
            f"{path}: adapter version {metadata.get('version')}, this release reads {_VERSION}; update it"
        )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise AdapterError(f"{path}: holds NaN or infinite values; make it again")
    return Adapter(tensors, metadata, sha256_of(path), path)


def shipped_adapter(state: Mapping[str, Tensor], extent: Extent = "full") -> Path | None:
    """Return the adapter that ships with the package for exactly these tensors, if there is one.

    Args:
        state: The base's tensors (`Weights.state_dict`).
        extent: "full" changes every weight, and recognises best; "small" is the one of the fewest bytes.
    """
    contents = contents_sha256(state)
    shipped = sorted(SHIPPED.glob(f"*.{extent}.safetensors"))
    return next((path for path in shipped if read_adapter(path).metadata.get("base_contents_sha256") == contents), None)


def apply_adapter(state: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Return the tuned tensors of a base network.

    Args:
        state: The base's tensors (`Weights.state_dict`); not changed.
        adapter: Made for exactly these tensors, in whatever file they are kept.

    Raises:
        AdapterError: The adapter was made for another base, or does not fit.
    """
    found, expected = contents_sha256(state), adapter.metadata.get("base_contents_sha256")
    if found != expected:
        base = adapter.metadata.get("base_arch", "another base")
        made_for = f"contents {str(expected)[:12]}, file sha256 {str(adapter.metadata.get('base_sha256'))[:12]}"
        raise AdapterError(
            f"{adapter.source}: made for {base} ({made_for}), not for these weights (contents {found[:12]}); "
            "give the base it was made for"
        )
    tuned = dict(state)
    for name, tensor in adapter.tensors.items():
        key = name.removesuffix(_DOWN).removesuffix(_UP)
        if key not in state:
            raise AdapterError(f"{adapter.source}: its tensor {name} has no counterpart in the base; make it again")
        if name == key:
            tuned[key] = tensor.to(state[key].dtype)
        elif name.endswith(_UP):
            tuned[key] = _with_product(adapter, state[key], key)
        if tuned[key].shape != state[key].shape:
            raise AdapterError(f"{adapter.source}: its tensor {name} has another shape than the base; make it again")
    return tuned


def _with_product(adapter: Adapter, weight: Tensor, key: str) -> Tensor:
    up, down = adapter.tensors[key + _UP], adapter.tensors.get(key + _DOWN)
    matrix = (len(weight), weight.numel() // len(weight)) if weight.dim() > 1 else None
    if (
        down is None
        or up.dim() != 2
        or down.dim() != 2
        or (len(up), down.shape[-1]) != matrix
        or up.shape[1] != len(down)
    ):
        raise AdapterError(f"{adapter.source}: the factors of {key} do not fit its shape; make it again")
    return weight + (up.float() @ down.float()).reshape(weight.shape)


def _check_same_tensors(path: Path, base: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> None:
    shapes = {name: tensor.shape for name, tensor in base.items()}
    if shapes != {name: tensor.shape for name, tensor in tuned.items()}:
        odd = next((name for name in [*base, *tuned] if name not in base or name not in tuned), "a tensor's shape")
        raise AdapterError(
            f"{path}: base and tuned network have different tensors ({odd}); both must be of one variant"
        )


def _difference(name: str, base: Tensor, tuned: Tensor) -> dict[str, Tensor]:
    """Return the change in whichever form is smaller: the tensor itself, or two thin factors of all its rank."""
    whole = {name: tuned.half().contiguous()}
    if base.dim() < 2:
        return whole
    change = (tuned.double() - base.double()).flatten(1)
    rows, columns = change.shape
    u, scale, v = torch.linalg.svd(change, full_matrices=False)
    lost = scale.square().flip(0).cumsum(0).flip(0).sqrt()
    # What the sum of base and change loses to float32 rounding anyway.
    rank = max(1, int((lost > _FLOAT32_STEP * float(tuned.double().norm())).sum()))
    if rank * (rows + columns) >= rows * columns:
        return whole
    root = scale[:rank].sqrt()
    return {
        name + _UP: (u[:, :rank] * root).half().contiguous(),
        name + _DOWN: (root[:, None] * v[:rank]).half().contiguous(),
    }
