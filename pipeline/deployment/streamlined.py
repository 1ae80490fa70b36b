"""The same networks with fewer operations: what depends on weights alone is computed once, before the export.

A small face makes small tensors, on which each operation of a runtime costs more than its arithmetic. Results are
equal up to rounding. The blocks are EdgeNeXt's (Maaz et al., "EdgeNeXt", ECCV Workshops 2022) as timm has them.
"""

import copy
from typing import cast

import torch
from timm.layers.mlp import Mlp
from timm.models.edgenext import ConvBlock, SplitTransposeBlock
from torch import Tensor, nn

from dsr.network import DSR, FACE_PX
from pipeline.deployment.exportable_chain import Embed


def streamlined_embed(network: nn.Module, fold_scales: bool = True) -> nn.Module:
    """Return what computes `Embed(network)`: (B, 3, 112, 112) RGB in [0, 1] -> (B, 512) of unit length.

    Args:
        network: An EdgeFace; one without EdgeNeXt's blocks stays as it is.
        fold_scales: Multiply layer scales into weights. Left apart, an adapted network's weights still differ from its
            base's by matrices of low rank, see `onnx_difference`.
    """
    light = copy.deepcopy(network).eval()
    sides = _sides(light)
    for name, block in list(light.named_modules()):
        if isinstance(block, ConvBlock) and fold_scales:
            block.mlp, block.gamma = cast(Mlp, _scaled(block.mlp, block.gamma, fold_scales)), None
        elif isinstance(block, SplitTransposeBlock):
            light.set_submodule(name, SplitBlock(block, sides[name], fold_scales))
    first = next(layer for layer in light.modules() if isinstance(layer, nn.Conv2d))
    is_padded = any(first.padding)  # with zeros, which are another colour in another range
    if not is_padded:
        _take_unit_range(first)
    return Embed(light, takes_unit_range=not is_padded).eval()


def streamlined_dsr(dsr: DSR) -> DSR:
    """Return what computes the same without folding the canvas first: runtimes rearrange pixels slowly."""
    light = copy.deepcopy(dsr).eval()
    light.head = _on_pixels(light.head)
    light.set_submodule("fold", nn.Identity())
    return light


class SplitBlock(nn.Module):
    """timm's `SplitTransposeBlock` with its positions computed, its scales folded, and its heads' channels first.

    Args:
        block: The original, in evaluation mode.
        side: Height and width of its input.
        fold_scales: As in `streamlined_embed`.
    """

    def __init__(self, block: SplitTransposeBlock, side: tuple[int, int], fold_scales: bool) -> None:
        super().__init__()
        self.convs, self.norm_attention, self.norm = block.convs, block.norm_xca, block.norm
        self.qkv, self.temperature, self.heads = block.xca.qkv, block.xca.temperature, block.xca.num_heads
        self.project = _scaled(block.xca.proj, block.gamma_xca, fold_scales)
        self.mlp = _scaled(block.mlp, block.gamma, fold_scales)
        positions = torch.zeros(()) if block.pos_embd is None else block.pos_embd((1, *side)).flatten(2)
        self.positions = nn.Buffer(positions.detach())

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        tokens = (self._look_around(features).flatten(2) + self.positions).transpose(1, 2)
        tokens = tokens + self._attend(self.norm_attention(tokens))
        change: Tensor = self.mlp(self.norm(tokens))
        return features + change.transpose(1, 2).reshape(features.shape)

    def _look_around(self, features: Tensor) -> Tensor:
        parts = features.chunk(len(self.convs) + 1, dim=1)
        seen: list[Tensor] = []
        for conv, part in zip(self.convs, parts[: len(self.convs)], strict=True):
            seen.append(conv(seen[-1] + part if seen else part))
        return torch.cat([*seen, parts[-1]], dim=1)

    def _attend(self, tokens: Tensor) -> Tensor:
        """Attention between channels, (B, N, C) -> (B, N, C); products are divided by lengths, not factors before."""
        batch, count, _ = tokens.shape
        channels: Tensor = self.qkv(tokens).transpose(1, 2)
        queries, keys, values = channels.reshape(batch, 3 * self.heads, -1, count).chunk(3, dim=1)
        lengths = queries.norm(dim=-1)[..., :, None] * keys.norm(dim=-1)[..., None, :]
        attention = (queries @ keys.transpose(-2, -1) / lengths.clamp(min=1e-24) * self.temperature).softmax(dim=-1)
        projected: Tensor = self.project((attention @ values).flatten(1, 2).transpose(1, 2))
        return projected


class Scaled(nn.Module):
    """A layer whose output channels, the last axis, are multiplied by a scale."""

    def __init__(self, layer: nn.Module, scale: Tensor) -> None:
        super().__init__()
        self.layer, self.scale = layer, scale

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        scaled: Tensor = self.layer(tokens) * self.scale
        return scaled


def _sides(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Return height and width of each split block's input."""
    sides: dict[str, tuple[int, int]] = {}
    hooks = [
        block.register_forward_pre_hook(
            lambda _, inputs, name=name: sides.__setitem__(name, tuple(inputs[0].shape[-2:]))
        )
        for name, block in network.named_modules()
        if isinstance(block, SplitTransposeBlock)
    ]
    if hooks:
        with torch.no_grad():
            network(torch.zeros(1, 3, FACE_PX, FACE_PX))
    for hook in hooks:
        hook.remove()
    return sides


@torch.no_grad()
def _scaled(layer: nn.Module, scale: Tensor | None, fold: bool) -> nn.Module:
    """Multiply the outputs of a linear layer (factored or not) or of a perceptron, in its weights or beside them."""
    if scale is None:
        return layer
    if not fold:
        return Scaled(layer, scale)
    last = getattr(layer, "fc2", layer)
    last = cast(nn.Linear, getattr(last, "linear2", last))
    last.weight.mul_(scale[:, None])
    if last.bias is not None:
        last.bias.mul_(scale)
    return layer


@torch.no_grad()
def _take_unit_range(conv: nn.Conv2d) -> None:
    """Let a convolution over [-1, 1] take [0, 1]."""
    if conv.bias is None:
        conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
    conv.bias.sub_(conv.weight.sum((1, 2, 3)))
    conv.weight.mul_(2)


@torch.no_grad()
def _on_pixels(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the 3x3 convolution after `PixelUnshuffle(4)` as one of 12x12 on the pixels, 4 apart."""
    wide = nn.Conv2d(3, conv.out_channels, 12, stride=4, padding=4)
    parts = conv.weight.reshape(-1, 3, 4, 4, 3, 3)  # out, colour, row and column within a fold, row and column of folds
    wide.weight.copy_(parts.permute(0, 1, 4, 2, 5, 3).reshape(wide.weight.shape))
    wide.bias = conv.bias
    return wide
