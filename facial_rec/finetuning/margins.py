"""Margin losses over the people of the training set."""

import math
from typing import Literal, cast

import torch
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.joined_store import TrainingFaces
from facial_rec.networks.edgeface import EMBEDDING_SIZE

MarginKind = Literal["arcface", "cosface", "adaface"]
SCALE = 64.0


class PlainMargin(nn.Module):
    """A margin that is the same for every face, from pytorch-metric-learning."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, person: Tensor, quality: Tensor) -> Tensor:
        """See `QualityMargin.forward`; the quality is not used."""
        # pytorch-metric-learning casts its centres to the type of what it is given, and half precision would stay.
        with torch.autocast(embeddings.device.type, enabled=False):
            return cast(Tensor, self.loss(embeddings.float(), person))


class QualityMargin(nn.Module):
    """AdaFace's margin (Kim et al., CVPR 2022, arXiv 2204.00964), with the face's size for the image's quality.

    The paper reads quality from the norm of the embedding; here it is known: the pixels that the face had. Faces of
    high quality are pushed hardest where they are hard, faces of low quality where they are easy.

    Args:
        people: Number of people.
        margin_radians: The paper's m.
    """

    def __init__(self, people: int, margin_radians: float = 0.4) -> None:
        super().__init__()
        self.margin_radians = margin_radians
        self.centres = nn.Parameter(F.normalize(torch.randn(people, EMBEDDING_SIZE)))

    def forward(self, embeddings: Tensor, person: Tensor, quality: Tensor) -> Tensor:
        """Return the mean loss.

        Args:
            embeddings: (B, 512) of length 1.
            person: (B,) int64.
            quality: (B,) in [-1, 1], from the smallest face to the largest.
        """
        cosines = (embeddings.float() @ F.normalize(self.centres).T).clamp(-1 + 1e-6, 1 - 1e-6)
        own = F.one_hot(person, len(self.centres)).bool()
        turn, shift = -self.margin_radians * quality, self.margin_radians * (1 + quality)
        turned = (cosines.acos() + turn[:, None]).clamp(1e-3, math.pi - 1e-3).cos() - shift[:, None]
        return F.cross_entropy(SCALE * torch.where(own, turned, cosines), person)


class PassingOver(nn.Module):
    """A margin over faces some of which are of nobody known; those add nothing.

    The mean is over all faces, so that batches shared out over processes have the loss of the whole.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, embeddings: Tensor, person: Tensor, quality: Tensor) -> Tensor:
        """See `QualityMargin.forward`; `person` is below 0 where nobody is known."""
        known = person >= 0
        if not known.any():  # 0, by way of the weights, whose gradients other processes wait for
            return 0 * cast(Tensor, self.head(embeddings[:1], person[:1].clamp(min=0), quality[:1]))
        return known.float().mean() * cast(Tensor, self.head(embeddings[known], person[known], quality[known]))


def margin_over(kind: MarginKind, store: TrainingFaces) -> nn.Module | None:
    """Return the margin loss for the people of a training, which passes over faces of nobody; None without people."""
    if not store.people:
        return None
    head = margin_head(kind, len(store.people))
    return PassingOver(head) if (store.person < 0).any() else head


def margin_head(kind: MarginKind, people: int) -> nn.Module:
    """Return a margin loss, called with embeddings (B, 512), person (B,) and quality (B,) in [-1, 1].

    ArcFace (Deng et al., CVPR 2019; margin 0.5 radians = 28.6 degrees), CosFace (Wang et al., CVPR 2018; margin
    0.35), or AdaFace's by size; all at scale 64.
    """
    if kind == "adaface":
        return QualityMargin(people)
    if kind == "arcface":
        return PlainMargin(ArcFaceLoss(people, EMBEDDING_SIZE, margin=28.6, scale=SCALE))
    return PlainMargin(CosFaceLoss(people, EMBEDDING_SIZE, margin=0.35, scale=SCALE))


def quality_of(sizes_px: Tensor) -> Tensor:
    """Map sizes (B,) in pixels to [-1, 1], evenly in their logarithm from 6 to 112."""
    low, high = math.log(6), math.log(112)
    return (2 * (sizes_px.float().log() - low) / (high - low) - 1).clamp(-1, 1)
