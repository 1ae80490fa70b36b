"""Dynamically quantised linears, de-quantised to the float tensors of the same network.

torch has stored a quantised linear `X` in three ways: a quantised `X.weight` beside `X.bias` (version 1),
`X._packed_params.weight` and `.bias` (version 2), and `X._packed_params._packed_params`, the pair of both (version 3).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_PAIR = "._packed_params._packed_params"
_WEIGHT = "._packed_params.weight"
_BIAS = "._packed_params.bias"
_LEFTOVERS = (".scale", ".zero_point", "._packed_params.dtype")


def is_quantised(stored: Mapping[str, Any]) -> bool:
    """Tell whether a state_dict holds dynamically quantised linears, in any of the three ways."""
    return any(name.endswith((_PAIR, _WEIGHT)) for name in stored) or any(
        isinstance(value, Tensor) and value.is_quantized for value in stored.values()
    )


def dequantise(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each quantised linear by its float `weight` and, where it has one, `bias`; the rest stays as it is."""
    linears = {name.removesuffix(end) for name in stored for end in (_PAIR, _WEIGHT) if name.endswith(end)}
    linears |= {
        name.removesuffix(".weight")
        for name, value in stored.items()
        if isinstance(value, Tensor) and value.is_quantized and not name.endswith(_WEIGHT)
    }
    floats: dict[str, Any] = {}
    for name, value in stored.items():
        if name.endswith(_PAIR):
            _put(floats, name.removesuffix(_PAIR), *_pair(value))
        elif name.endswith(_WEIGHT):
            _put(floats, name.removesuffix(_WEIGHT), value, stored.get(name.removesuffix(_WEIGHT) + _BIAS))
        elif not _is_leftover(name, linears):
            floats[name] = _float(value)
    return floats


def _is_leftover(name: str, linears: set[str]) -> bool:
    return name.endswith(_BIAS) or any(name.endswith(end) and name.removesuffix(end) in linears for end in _LEFTOVERS)


def _pair(value: Any) -> tuple[Any, Any]:
    """Return weight and bias; anything else is left for the comparison of shapes to refuse."""
    return (value[0], value[1]) if isinstance(value, tuple | list) and len(value) == 2 else (value, None)


def _put(floats: dict[str, Any], linear: str, weight: Any, bias: Any) -> None:
    floats[f"{linear}.weight"] = _float(weight)
    if bias is not None:
        floats[f"{linear}.bias"] = _float(bias)


def _float(value: Any) -> Any:
    return value.dequantize() if isinstance(value, Tensor) and value.is_quantized else value
