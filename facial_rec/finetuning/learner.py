"""The network that fine-tuning moves: super-resolver, EdgeFace and margin head as one module."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facial_rec.finetuning.margins import quality_of
from facial_rec.networks.edgeface import watched_stages


class LearnerOutput(NamedTuple):
    """What a learner makes of a batch."""

    embeddings: Tensor
    """(B, 512), of length 1."""
    faces: Tensor
    """(B, 3, 112, 112) RGB in [0, 1]: the faces that were embedded."""
    margin: Tensor
    """Scalar: the margin loss, 0 without a head."""
    maps: list[Tensor]
    """Outputs of EdgeFace's stages; empty unless they are watched."""


class Learner(nn.Module):
    """Canvas to embedding, with some faces going round the super-resolver.

    Args:
        network: EdgeFace: (B, 3, 112, 112) in [-1, 1] -> (B, 512).
        dsr: Super-resolver in front, or None.
        head: Margin loss over people (`margins.margin_head`), or None.
        joint: Whether the super-resolver learns too.
        watched: Whether the outputs of EdgeFace's stages are wanted.
    """

    def __init__(
        self, network: nn.Module, dsr: nn.Module | None, head: nn.Module | None, joint: bool, watched: bool = False
    ) -> None:
        super().__init__()
        self.network, self.dsr, self.head, self.joint, self._watched = network, dsr, head, joint, watched
        if dsr is not None:
            dsr.requires_grad_(joint)

    def forward(self, canvas: Tensor, direct: Tensor, person: Tensor, sizes_px: Tensor) -> LearnerOutput:
        """Embed a batch.

        Args:
            canvas: (B, 3, 112, 112) RGB in [0, 1], enlarged low-resolution faces or full-size ones.
            direct: (B,) True for the faces that skip the super-resolver.
            person: (B,) int64 number of the person, for the margin head.
            sizes_px: (B,) int64 pixels a side that each face had, for the margin head.
        """
        faces = canvas
        if self.dsr is not None:
            with torch.set_grad_enabled(self.joint and torch.is_grad_enabled()):
                faces = torch.where(direct[:, None, None, None], canvas, self.dsr(canvas))
        with watched_stages(self.network, self._watched) as maps:
            embeddings = F.normalize(self.network((faces - 0.5) / 0.5).float())
        margin = embeddings.new_zeros(())
        if self.head is not None:
            margin = self.head(embeddings, person, quality_of(sizes_px))
        return LearnerOutput(embeddings, faces, margin, maps)


class TunedEmbedding(nn.Module):
    """The EdgeFace inside a learner, with the interface of an embedding: faces in [0, 1] to unit embeddings."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] -> (B, 512)."""
        return F.normalize(self.network((faces - 0.5) / 0.5).float())
