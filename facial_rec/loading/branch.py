"""A resolution branch: low-resolution pixels straight to the features of EdgeFace's second stage.

After Branch-to-Trunk (BTNet, ICLR 2023 submission): a face of up to 28 px holds no more than 28x28 pixels show, so a
small network works on those, and the trunk takes over where its own features are 14 positions wide. Nothing is
enlarged, and full-size faces, which go through the whole trunk, never meet the branch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.nn import functional as F

from engine.files import write_bytes
from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.refusals import AdapterError

INPUT_PX = 28
FORMAT = "edgeface-branch"
_METADATA = "edgeface_branch"
_FIRST = "branch.0.weight"


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        change: Tensor = self.conv2(F.gelu(self.conv1(features)))
        return features + change


class BranchedEdgeFace(nn.Module):
    """An EdgeFace whose stem and first two stages are replaced by a branch for small faces.

    Args:
        trunk: An EdgeFace on timm's EdgeNeXt; its stem and first two stages are not used.
        width: Channels at 28 positions a side.
    """

    def __init__(self, trunk: nn.Module, width: int = 24) -> None:
        super().__init__()
        stages = cast(nn.Sequential, trunk.get_submodule("stages"))
        middle = int(cast(Tensor, stages[1].get_parameter("blocks.0.gamma")).shape[0])
        self.branch = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            Residual(width),
            nn.Conv2d(width, middle, 2, stride=2),
            Residual(middle),
            Residual(middle),
        ).to(next(trunk.parameters()).device)
        self.upper = nn.ModuleList([stages[2], stages[3]])
        self.norm_pre, self.head = trunk.get_submodule("norm_pre"), trunk.get_submodule("head")

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, h, w) RGB in [-1, 1], brought to 28x28 where they are not -> (B, 512), not normalised."""
        if faces.shape[-2:] != (INPUT_PX, INPUT_PX):
            faces = F.interpolate(faces, (INPUT_PX, INPUT_PX), mode="bicubic", antialias=True, align_corners=False)
        features: Tensor = self.branch(faces)
        for stage in self.upper:
            features = stage(features)
        embeddings: Tensor = self.head(self.norm_pre(features))
        return embeddings


def write_branch(path: Path, base: Mapping[str, Tensor], network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write what a branched EdgeFace adds to its base, in float16, whole or not at all.

    Args:
        path: A `.safetensors` file.
        base: The tensors of the EdgeFace that it was made from.
        network: A `BranchedEdgeFace`.
        facts: Plain JSON values about the training.
    """
    own = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    changed = {
        name: tensor.half().contiguous()
        for name, tensor in own.items()
        if (key := _base_name(name)) not in base or not torch.equal(tensor, base[key])
    }
    stated = dict(facts) | {"format": FORMAT, "base_contents_sha256": contents_sha256(base)}
    write_bytes(path, serialise(changed, metadata={_METADATA: json.dumps(stated, sort_keys=True)}))


def is_branch(path: Path) -> bool:
    """Whether the file is one that `write_branch` wrote; False for whatever cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return _METADATA in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def apply_branch(trunk: nn.Module, path: Path) -> nn.Module:
    """Return the branched EdgeFace of a file.

    Args:
        trunk: The EdgeFace that it was made from; its modules are reused.
        path: What `write_branch` wrote.

    Raises:
        AdapterError: It was made for another EdgeFace, or is damaged.
    """
    base = trunk.state_dict()
    with safe_open(path, framework="pt") as file:
        try:
            facts = dict(json.loads(file.metadata()[_METADATA]))
        except (ValueError, TypeError):
            raise AdapterError(f"{path}: a branch whose description is damaged; make it again") from None
        changed = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
    if facts.get("base_contents_sha256") != contents_sha256(base):
        raise AdapterError(f"{path}: made for another EdgeFace than this; give the weights that it was made for")
    if not all(torch.isfinite(tensor).all() for tensor in changed.values()):
        raise AdapterError(f"{path}: holds NaN or infinite values; make it again")
    first = changed.get(_FIRST)
    if first is None or first.dim() != 4:
        raise AdapterError(f"{path}: does not fit ({_FIRST} is missing or of another shape); make it again")
    network = BranchedEdgeFace(trunk, width=len(first))
    state = network.state_dict()
    missing = [name for name in state if _base_name(name) not in base and name not in changed]
    if missing:
        raise AdapterError(f"{path}: does not fit ({missing[0]} is missing); make it again")
    try:
        network.load_state_dict(state | changed)
    except RuntimeError as error:
        raise AdapterError(f"{path}: does not fit ({str(error).splitlines()[-1].strip()}); make it again") from None
    return network.eval()


def _base_name(name: str) -> str:
    """Return the name in the base of a tensor of the branched network."""
    return name.replace("upper.0.", "stages.2.", 1).replace("upper.1.", "stages.3.", 1)
