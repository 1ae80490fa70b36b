"""Objectives in the embedding space: the original's place for each face, its relations, people kept apart."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Recogniser(Protocol):
    """What a loss needs of a frozen recogniser (`facial_rec.embedding.EdgeFaceEmbedding` has it)."""

    def embed_with_maps(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, 112, 112) in [0, 1] -> unit embeddings (B, D) and the maps of each stage."""


def identity_loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Mean of 1 - cosine between unit embeddings (B, D): 0 is the same person, 1 unrelated.

    Against the frozen original's HR embeddings it keeps a gallery that the original enrolled valid.
    """
    return 1 - (embeddings * targets).sum(1).mean()


def relational_loss(embeddings: Tensor, targets: Tensor, gallery: Tensor) -> Tensor:
    """Mean squared error of similarities to a gallery, tuned against original.

    Args:
        embeddings: (B, 512) unit embeddings of the tuned network.
        targets: (B, 512) the original's, of the same faces at full size.
        gallery: (G, 512) the original's, of the whole (global) batch.

    Source: similarity-preserving distillation, after Park et al., CVPR 2019 (arXiv 1904.05068).
    """
    return F.mse_loss(embeddings @ gallery.T, targets @ gallery.T)


def feature_loss(maps: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Mean over stages of the L1 distance of maps (B, C, h, w), each divided by the target's mean magnitude."""
    terms = [
        F.l1_loss(found, wanted) / wanted.abs().mean().clamp_min(1e-6)
        for found, wanted in zip(maps, targets, strict=True)
    ]
    return torch.stack(terms).mean()


def contrastive_loss(
    embeddings: Tensor, targets: Tensor, gallery: Tensor, positives: Tensor, temperature: float = 0.07
) -> Tensor:
    """InfoNCE: each face must be nearer to its own HR embedding than to other people's in the batch.

    Args:
        embeddings: (B, D) unit embeddings that learn.
        targets: (B, D) unit HR embeddings of the same faces.
        gallery: (G, D) HR embeddings of the whole (global) batch.
        positives: (B, G) True where the gallery face shows the same person; those are no negatives.
        temperature: Divides the cosines.

    Source: van den Oord et al., arXiv 1807.03748.
    """
    own = (embeddings * targets).sum(1, keepdim=True) / temperature
    others = (embeddings @ gallery.T / temperature).masked_fill(positives, float("-inf"))
    logits = torch.cat([own, others], dim=1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def uniformity(embeddings: Tensor) -> float:
    """Return minus the log of the mean of exp(-2 d^2) over all pairs of (N, D) unit embeddings.

    0 is one point, 4 (for large D) an even spread. Source: Wang and Isola, ICML 2020, arXiv 2005.10242, sign turned.
    """
    distances = F.pdist(embeddings.float().cpu())  # MPS has no pdist, nor float64
    return -float(distances.square().mul(-2).exp().mean().log())


def effective_rank(embeddings: Tensor) -> float:
    """Return exp of the entropy of the normalised singular values of (N, D): how many directions are in use.

    Source: Roy and Vetterli, EUSIPCO 2007. A collapsed space has 1; the largest is min(N, D).
    """
    values = torch.linalg.svdvals(embeddings.cpu().double())
    shares = values / values.sum().clamp_min(1e-12)
    return math.exp(float(-(shares * shares.clamp_min(1e-12).log()).sum()))
