"""Which weights of an EdgeFace are tuned, and in what form."""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from facial_rec.loading.branch import BranchedEdgeFace
from facial_rec.loading.refusals import MismatchError
from facial_rec.networks.ldc import LDCNet

Tune = Literal["all", "norms", "early", "late", "lowrank", "branch"]


class LowRank(nn.Module):
    """A weight plus a product of two thin matrices (LoRA, Hu et al., arXiv 2106.09685); zero at the start."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        # Drawn on the CPU: the same on every device.
        self.down = nn.Parameter((torch.randn(rank, columns) / columns**0.5).to(weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight, in the shape of the original."""
        return weight + (self.up @ self.down).view_as(weight)


def prepare_tuning(network: nn.Module, tune: Tune, rank: int = 8) -> nn.Module:
    """Let only the chosen weights of an EdgeNeXt learn, in place.

    Args:
        network: An EdgeFace on timm's EdgeNeXt.
        tune: "all"; "norms" (normalisation and every bias); "early" (stem and first two stages); "late" (last two
            stages and head); "lowrank" (a low-rank product beside each linear and dense convolution, plus norms,
            biases and what is smaller than a product, such as depthwise kernels); "branch" (a new network for 28x28
            pixels in the place of the stem and the first two stages, and the norms and biases above it).
        rank: Rank of those products.

    Returns:
        The same network; for "branch" a `BranchedEdgeFace`. New weights are on the device of those that were there.

    Raises:
        MismatchError: An EdgeFace-S (LDC), which has other layers, and a choice other than "all" and "norms".
    """
    if isinstance(network, LDCNet) and tune not in ("all", "norms"):
        raise MismatchError(f"--tune {tune}: not for edgeface_s (LDC), whose layers are others; use all or norms")
    network.requires_grad_(tune == "all")
    for name, parameter in network.named_parameters():
        early = name.startswith(("stem.", "stages.0.", "stages.1."))
        small = _is_small(name, parameter)
        if (
            (tune == "early" and early)
            or (tune == "late" and not early)
            or (tune in ("norms", "lowrank", "branch") and small)
        ):
            parameter.requires_grad_(True)
    if tune == "lowrank":
        for module in list(network.modules()):
            if _is_matrix(module, 2 * rank):
                parametrize.register_parametrization(module, "weight", LowRank(cast(Tensor, module.weight), rank))
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.requires_grad_(True)
    return BranchedEdgeFace(network) if tune == "branch" else network


def drop_paths(network: nn.Module, chance: float) -> None:
    """Skip blocks at random while training (stochastic depth, Huang et al., ECCV 2016), deeper ones more often.

    Raises:
        MismatchError: A chance, and a network without blocks that can be skipped.
    """
    from timm.layers.drop import DropPath  # here, as in `facial_rec.edgeface.build_architecture`

    blocks = [module for module in network.modules() if hasattr(module, "drop_path")]
    if chance and not blocks:
        raise MismatchError(f"--drop-path {chance}: this EdgeFace has no blocks that can be skipped; leave it out")
    for number, block in enumerate(blocks if chance else []):
        block.drop_path = DropPath(chance * (number + 1) / len(blocks))


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the plain state_dict of a tuned network: low-rank products added to their weights."""
    state = {}
    for name, tensor in network.state_dict().items():
        if ".parametrizations." not in f".{name}":
            state[name] = tensor.detach().clone()
        elif name.endswith(".weight.original"):
            owner = name.removesuffix("parametrizations.weight.original")
            module = network.get_submodule(owner.removesuffix("."))
            state[f"{owner}weight"] = cast(Tensor, module.weight).detach().clone()
    return state


def _is_small(name: str, parameter: Tensor) -> bool:
    """Whether the parameter is a normalisation, a bias or a scale."""
    return parameter.ndim < 2 or name.endswith(("bias", "gamma", "temperature"))


def _is_matrix(module: nn.Module, smallest: int) -> bool:
    """Whether the module is a linear or dense convolution large enough for a low-rank product to be smaller."""
    dense = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    return dense and min(cast(Tensor, module.weight).flatten(1).shape) > smallest
