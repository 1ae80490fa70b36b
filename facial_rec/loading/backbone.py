"""Finding networks inside a checkpoint: under any mappings and prefixes, with training heads and optimisers beside."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facial_rec.loading.quantised import dequantise, is_quantised
from facial_rec.loading.refusals import NotWeightsError
from facial_rec.loading.tensors import RawTensors

_FEWEST_TENSORS = 8
_FIRST_TENSORS = ("stem.0.weight", "features.0.conv.weight")
_OWN_PARTS = ("stem.", "stages.", "norm_pre.", "head.", "features.")
_WRAPPERS = ("module", "model", "backbone", "_orig_mod", "network", "net")

Place = tuple[str, ...]


@dataclass(frozen=True)
class Backbone:
    """A network's tensors, under the names that the network itself uses.

    Attributes:
        raw: What they were found in.
        tensors: Name to tensor, de-quantised, in the stored precision.
        place: Where they were: keys of mappings around them and the prefix of their names, as "model.ema" or
            "state_dict.module"; "" at the top.
        ignored: Names of tensors beside the network (training heads).
        quantised: Whether linears were quantised.
    """

    raw: RawTensors
    tensors: dict[str, Any]
    place: str
    ignored: tuple[str, ...]
    quantised: bool


def find_backbones(raw: RawTensors) -> list[Backbone]:
    """Find what may be networks in whatever a file holds: a state_dict, or mappings around one or several.

    Returns:
        One a first layer found, the least deep first; where none is found, the tensors of the largest state_dict,
        so that what they are can be said.

    Raises:
        NotWeightsError: There is no state_dict in it.
    """
    mappings = list(_mappings(raw.stored))
    found = [
        _backbone(raw, place, _beside_left_out(mapping, prefix), mapping, prefix)
        for place, mapping in mappings
        for prefix in _prefixes(mapping)
    ]
    if found:
        return found
    others = [(place, mapping) for place, mapping in mappings if is_state_dict(mapping)]
    if not others:
        path = raw.file.path
        raise NotWeightsError(
            f"{path}: {_described(raw.stored)} without a state_dict; give a checkpoint that holds the network"
        )
    place, largest = max(others, key=lambda each: len(each[1]))
    return [_backbone(raw, place, largest, largest, _common_prefix(largest))]


def is_state_dict(value: Any) -> bool:
    """Tell whether a value is a mapping of names to (mostly) tensors."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    return sum(isinstance(item, Tensor | tuple) for item in value.values()) >= max(_FEWEST_TENSORS, len(value) / 2)


def _mappings(stored: Any) -> Iterator[tuple[Place, Mapping[Any, Any]]]:
    """Yield every mapping in what a checkpoint holds, the least deep first, once each: pickles can hold loops."""
    waiting: deque[tuple[Place, Any]] = deque([((), stored)])
    seen = {id(stored)}
    while waiting:
        place, value = waiting.popleft()
        if isinstance(value, Mapping):
            yield place, value
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if _is_list(value) else ()
        for key, item in items:
            if (isinstance(item, Mapping) or _is_list(item)) and id(item) not in seen:
                seen.add(id(item))
                waiting.append(((*place, str(key)), item))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and not isinstance(value, torch.Size)


def _prefixes(mapping: Mapping[Any, Any]) -> list[str]:
    """Return what stands before the names of each network's first layer."""
    names = [name for name, value in mapping.items() if isinstance(name, str) and isinstance(value, Tensor)]
    prefixes = {name.removesuffix(end) for name in names for end in _FIRST_TENSORS if name.endswith(end)}
    return sorted(prefix for prefix in prefixes if not prefix or prefix.endswith("."))


def _beside_left_out(mapping: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    """Return what belongs to the network of a prefix; without one, its own parts tell it from a training head."""
    own = (prefix,) if prefix else _OWN_PARTS
    return {name: value for name, value in mapping.items() if isinstance(name, str) and name.startswith(own)}


def _backbone(
    raw: RawTensors, place: Place, own: Mapping[str, Any], mapping: Mapping[Any, Any], prefix: str
) -> Backbone:
    beside = [str(name) for name, value in mapping.items() if isinstance(value, Tensor) and name not in own]
    inside = {name.removeprefix(prefix): value for name, value in own.items()}
    quantised = is_quantised(inside)
    tensors = dequantise(inside) if quantised else inside
    tensors = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    where = ".".join((*place, prefix)).strip(".")
    return Backbone(raw, _with_counters(tensors), where, tuple(beside), quantised)


def _described(stored: Any) -> str:
    if isinstance(stored, Mapping):
        names = ", ".join(str(name)[:30] for name in list(stored)[:5])
        return f"a dict ({names or 'empty'})"
    return f"a {type(stored).__name__}"


def _common_prefix(tensors: Mapping[str, Any]) -> str:
    """Return the wrapper prefix of a checkpoint whose first layer is missing, so that the rest can be named."""
    names = list(tensors)
    prefix = ""
    while True:
        heads = {name[len(prefix) :].partition(".")[0] for name in names}
        if len(heads) != 1 or (head := heads.pop()) not in _WRAPPERS:
            return prefix
        prefix += f"{head}."


def _with_counters(tensors: dict[str, Any]) -> dict[str, Any]:
    """Add the step counters that batch norm did not have before torch 0.4.1; inference never reads them."""
    counters = {
        name.removesuffix("running_mean") + "num_batches_tracked" for name in tensors if name.endswith(".running_mean")
    }
    return tensors | {name: torch.tensor(0) for name in sorted(counters) if name not in tensors}
