"""The file that a fine-tuning leaves."""

from pathlib import Path
from typing import Any

from torch import Tensor

from engine.checkpoint import save_checkpoint

FORMAT = "edgeface-finetuned"


def save_finetuned(path: Path, arch: str, state: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a tuned EdgeFace atomically, in float32; `EdgeFaceEmbedding` takes the file.

    Args:
        path: Usually `edgeface_finetuned.pth`.
        arch: A name of `facial_rec.edgeface.ARCHITECTURES`.
        state: The network's plain state_dict.
        metadata: JSON values: where it comes from and what it measured.
    """
    plain = {name: tensor.detach().to("cpu").float().contiguous() for name, tensor in state.items()}
    content = {"format": FORMAT, "version": 1, "arch": arch, "backbone_state_dict": plain, "metadata": metadata}
    save_checkpoint(path, content)
