"""Finding the network's tensors inside a checkpoint: wrappings, prefixes, and training heads beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facial_rec.loading.quantised import dequantise, is_quantised
from facial_rec.loading.refusals import MismatchError, NotWeightsError
from facial_rec.loading.tensors import RawTensors

# The most specific first; averaged weights stand before raw ones, since they are what a training evaluates.
_WRAPPINGS = (
    "backbone_state_dict",
    "ema",
    "ema_state_dict",
    "model_ema",
    "state_dict_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "backbone",
    "network",
    "net",
    "weights",
    "params",
)
_DEEPEST_WRAPPING = 4
_FEWEST_TENSORS = 8
_FIRST_TENSORS = ("stem.0.weight", "features.0.conv.weight")
_OWN_PARTS = ("stem.", "stages.", "norm_pre.", "head.", "features.")
_HEADS = ("arcface", "cosface", "adaface", "margin", "classifier", "loss", "criterion", "metric", "kernel", "centers")


@dataclass(frozen=True)
class Backbone:
    """A network's tensors, under the names that the network itself uses.

    Attributes:
        raw: What they were found in.
        tensors: Name to tensor, de-quantised, in the stored precision.
        wrapping: Where in the checkpoint they were, as "state_dict" or "model > ema"; "" at the top.
        prefix: What stood before each name, as "module.model."; "" for nothing.
        ignored: Names of tensors beside the network (training heads).
        quantised: Whether linears were quantised.
    """

    raw: RawTensors
    tensors: dict[str, Any]
    wrapping: str
    prefix: str
    ignored: tuple[str, ...]
    quantised: bool


def find_backbone(raw: RawTensors) -> Backbone:
    """Find the network's tensors in whatever a file holds: a state_dict, or mappings around one.

    Raises:
        NotWeightsError: There is no state_dict in it.
        MismatchError: It holds two networks, so that it is unclear which is meant.
    """
    path = raw.file.path
    wrapping, found = _unwrap(path, raw.stored, ())
    quantised = is_quantised(found)
    tensors = dequantise(found) if quantised else dict(found)
    prefix = _prefix(path, tensors)
    inside = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    beside = [name for name in tensors if not name.startswith(prefix)]
    if not prefix:
        beside = [name for name in inside if not name.startswith(_OWN_PARTS) and name.lower().startswith(_HEADS)]
        inside = {name: value for name, value in inside.items() if name not in beside}
    return Backbone(raw, _with_counters(inside), " > ".join(wrapping), prefix, tuple(beside), quantised)


def is_state_dict(value: Any) -> bool:
    """Tell whether a value is a mapping of names to (mostly) tensors."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    return sum(isinstance(item, Tensor | tuple) for item in value.values()) >= max(_FEWEST_TENSORS, len(value) / 2)


def _unwrap(path: Path, stored: Any, inside: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    if is_state_dict(stored):
        return inside, stored
    if isinstance(stored, Mapping) and len(inside) < _DEEPEST_WRAPPING:
        known = [name for name in _WRAPPINGS if isinstance(stored.get(name), Mapping)]
        for name in known:
            try:
                return _unwrap(path, stored[name], (*inside, name))
            except NotWeightsError:
                continue
    raise NotWeightsError(
        f"{path}: {_described(stored)} without a state_dict; give a checkpoint that holds the network"
    )


def _described(stored: Any) -> str:
    if isinstance(stored, Mapping):
        names = ", ".join(str(name)[:30] for name in list(stored)[:5])
        return f"a dict ({names or 'empty'})"
    return f"a {type(stored).__name__}"


def _prefix(path: Path, tensors: Mapping[str, Any]) -> str:
    prefixes = sorted({name.removesuffix(end) for name in tensors for end in _FIRST_TENSORS if name.endswith(end)})
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes[:3])
        raise MismatchError(f"{path}: holds {len(prefixes)} networks, under {shown}; save the one you want alone")
    return prefixes[0] if prefixes else _common_prefix(tensors)


def _common_prefix(tensors: Mapping[str, Any]) -> str:
    """Return the wrapper prefix of a checkpoint whose first layer is missing, so that the rest can be named."""
    names = list(tensors)
    prefix = ""
    while True:
        heads = {name[len(prefix) :].partition(".")[0] for name in names}
        if len(heads) != 1 or (head := heads.pop()) not in (
            "module",
            "model",
            "backbone",
            "_orig_mod",
            "network",
            "net",
        ):
            return prefix
        prefix += f"{head}."


def _with_counters(tensors: dict[str, Any]) -> dict[str, Any]:
    """Add the step counters that batch norm did not have before torch 0.4.1; inference never reads them."""
    counters = {
        name.removesuffix("running_mean") + "num_batches_tracked" for name in tensors if name.endswith(".running_mean")
    }
    return tensors | {name: torch.tensor(0) for name in sorted(counters) if name not in tensors}
