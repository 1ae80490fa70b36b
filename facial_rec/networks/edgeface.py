"""The EdgeFace networks, every published variant in one table.

George et al., "EdgeFace: Efficient Face Recognition Model for Edge Devices", IEEE T-BIOM 2024, arXiv 2307.01838.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from facial_rec.loading.refusals import MismatchError
from facial_rec.networks.ldc import LDCNet

EMBEDDING_SIZE = 512
INPUT_SIZE_PX = 112


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one EdgeFace network from another.

    Attributes:
        network: Name of the timm network, or "ldc".
        rank_ratio: Rank of the factored linears over their smaller side; None where linears are whole.
        factored_head: Whether the embedding layer is factored as well. The published gamma files factor it (their
            parameter counts, 1.77 M and 3.65 M, are reached only so).
    """

    network: str
    rank_ratio: float | None = None
    factored_head: bool = True


ARCHITECTURES: dict[str, Architecture] = {
    "edgeface_xxs": Architecture("edgenext_xx_small"),
    "edgeface_xs": Architecture("edgenext_x_small"),
    "edgeface_xs_gamma_06": Architecture("edgenext_x_small", 0.6),
    "edgeface_s_gamma_05": Architecture("edgenext_small", 0.5),
    "edgeface_s_full": Architecture("edgenext_small"),
    "edgeface_base": Architecture("edgenext_base"),
    "edgeface_s": Architecture("ldc"),
}
# Channels of each network's four stages, by which a file shows which one it is.
EDGENEXT_WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "edgenext_xx_small": (24, 48, 88, 168),
    "edgenext_x_small": (32, 64, 100, 192),
    "edgenext_small": (48, 96, 160, 304),
    "edgenext_base": (80, 160, 288, 584),
}
FULL_HEAD = "_full_head"
_SIZES = {"xxs": "edgenext_xx_small", "xs": "edgenext_x_small", "s": "edgenext_small", "base": "edgenext_base"}
_FACTORED_NAME = re.compile(rf"edgeface_(xxs|xs|s|base)_gamma_(\d)(\d+)({FULL_HEAD})?")


class LowRankLinear(nn.Module):
    """A linear layer factored in two, the first without bias."""

    def __init__(self, inputs: int, outputs: int, rank: int, bias: bool):
        super().__init__()
        self.linear1 = nn.Linear(inputs, rank, bias=False)
        self.linear2 = nn.Linear(rank, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        widened: Tensor = self.linear2(self.linear1(x))
        return widened


def architecture_named(arch: str) -> Architecture:
    """Look a variant up by name.

    Args:
        arch: A name of `ARCHITECTURES`; a quantised file's name (`edgeface_xs_q` is `edgeface_xs`); or a rank ratio
            that was never published, as `edgeface_xs_gamma_045` (0.45), and `_full_head` when the embedding layer is
            not factored.

    Raises:
        MismatchError: There is no such variant.
    """
    if arch.removesuffix("_q") in ARCHITECTURES:
        return ARCHITECTURES[arch.removesuffix("_q")]
    if match := _FACTORED_NAME.fullmatch(arch):
        size, whole, decimals, full_head = match.groups()
        return Architecture(_SIZES[size], float(f"{whole}.{decimals}"), factored_head=not full_head)
    raise MismatchError(f"{arch}: no EdgeFace variant of that name; one of: {', '.join(ARCHITECTURES)}")


def name_of(architecture: Architecture) -> str:
    """Return the name that `architecture_named` maps to this architecture."""
    for name, known in ARCHITECTURES.items():
        if known == architecture:
            return name
    size = next(size for size, network in _SIZES.items() if network == architecture.network)
    digits = f"{architecture.rank_ratio:.4f}".rstrip("0").replace(".", "")
    return f"edgeface_{size}_gamma_{digits:0<2}" + ("" if architecture.factored_head else FULL_HEAD)


def build(arch: str) -> nn.Module:
    """Build the network of a variant with fresh weights.

    Args:
        arch: See `architecture_named`.

    Returns:
        Maps (B, 3, 112, 112) RGB in [-1, 1] to (B, 512), not normalised.

    Raises:
        MismatchError: There is no such variant.
    """
    return build_architecture(architecture_named(arch))


def build_architecture(architecture: Architecture) -> nn.Module:
    """Build a network with fresh weights; see `build`."""
    if architecture.network == "ldc":
        return LDCNet()
    import timm  # here, since its two seconds are not for commands that build no network

    network: nn.Module = timm.create_model(architecture.network, num_classes=EMBEDDING_SIZE)
    if architecture.rank_ratio is not None:
        _factor_linears(network, architecture.rank_ratio, None if architecture.factored_head else "head")
    return network


def skeleton(architecture: Architecture) -> nn.Module:
    """Build a network without memory for its weights (on the meta device), to be filled by `assign=True`."""
    with torch.device("meta"), _NoInitialisation():
        return build_architecture(architecture)


@cache
def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a network, by its name."""
    return {name: tuple(tensor.shape) for name, tensor in skeleton(architecture).state_dict().items()}


class _NoInitialisation(TorchFunctionMode):
    """Skip in-place fills and scaling: without memory they do nothing, yet they are most of what building takes."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name.endswith("_") and not name.endswith("__") and name != "requires_grad_":
            return args[0] if args else (kwargs or {})["tensor"]
        if name in ("mul", "__rmul__") and isinstance(args[0], Tensor) and isinstance(args[1], float):
            return args[0]
        return function(*args, **(kwargs or {}))


def rank_for(inputs: int, outputs: int, rank_ratio: float) -> int:
    """Return the rank that the paper's rule gives a linear of this size."""
    return max(2, int(min(inputs, outputs) * rank_ratio))


def stage_outputs(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Run a network up to its last feature map.

    Args:
        network: Made by `build`.
        inputs: (B, 3, 112, 112) RGB in [-1, 1].

    Returns:
        Four maps, coarser and coarser: 28, 14, 7 and 3 pixels wide (LDC: 56, 28, 14 and 7).
    """
    if isinstance(network, LDCNet):
        return _outputs_after(network.features, inputs, (0, 2, 5, 10))
    return _outputs_after(network.get_submodule("stages"), network.get_submodule("stem")(inputs), (0, 1, 2, 3))


def stages(network: nn.Module) -> list[nn.Module]:
    """Return the four modules whose outputs `stage_outputs` returns."""
    if isinstance(network, LDCNet):
        return [network.features[position] for position in (0, 2, 5, 10)]
    return list(network.get_submodule("stages").children())


@contextmanager
def watched_stages(network: nn.Module, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Collect the stage outputs of the passes that are made meanwhile, if they are wanted."""
    maps: list[Tensor] = []
    watched = stages(network) if wanted else []
    hooks = [stage.register_forward_hook(lambda _, __, output: maps.append(output)) for stage in watched]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _outputs_after(layers: nn.Module, x: Tensor, wanted: tuple[int, ...]) -> list[Tensor]:
    outputs = []
    for position, layer in enumerate(layers.children()):
        x = layer(x)
        if position in wanted:
            outputs.append(x)
        if len(outputs) == len(wanted):
            break
    return outputs


def _factor_linears(module: nn.Module, rank_ratio: float, skip: str | None) -> None:
    for name, child in module.named_children():
        if name == skip:
            continue
        if isinstance(child, nn.Linear):
            rank = rank_for(child.in_features, child.out_features, rank_ratio)
            factored = LowRankLinear(child.in_features, child.out_features, rank, child.bias is not None)
            setattr(module, name, factored)
        else:
            _factor_linears(child, rank_ratio, skip)
