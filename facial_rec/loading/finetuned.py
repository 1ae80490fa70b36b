"""The checkpoint that fine-tuning and training from scratch leave behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.checkpoint import save_checkpoint
from facial_rec.loading.checksum import contents_sha256

FINETUNED_FORMAT = "edgeface-finetuned"
_VERSION = 1


def save_finetuned(path: Path, arch: str, state_dict: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Save a trained backbone as a plain checkpoint that `torch.load(weights_only=True)` reads.

    Args:
        path: Written whole or not at all.
        arch: Variant, see `edgeface.architecture_named`.
        state_dict: Its tensors, under the names of `edgeface.build(arch)`.
        metadata: Plain JSON values about the training.
    """
    backbone = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    checkpoint = {
        "format": FINETUNED_FORMAT,
        "version": _VERSION,
        "arch": arch,
        "backbone_state_dict": backbone,
        "metadata": dict(metadata) | {"contents_sha256": contents_sha256(backbone)},
    }
    save_checkpoint(path, checkpoint)
