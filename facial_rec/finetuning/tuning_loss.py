"""What a fine-tuned network is asked for: the original's embeddings, for faces that carry less."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.batches import Batch
from facial_rec.finetuning.bank import others
from facial_rec.finetuning.embedding_losses import (
    Recogniser,
    contrastive_loss,
    feature_loss,
    identity_loss,
    relational_loss,
)
from facial_rec.finetuning.learner import LearnerOutput


@dataclass(frozen=True)
class TuningWeights:
    """Weight of each term; zero switches a term off and saves its work."""

    distill: float = 1.0
    relational: float = 10.0
    teacher: float = 0.0
    feature: float = 0.0
    contrastive: float = 0.0
    margin: float = 0.01
    anchor: float = 0.0
    pixel: float = 0.0


class TuningLoss:
    """The weighted sum, with each term by name.

    Args:
        weights: Weight of each term.
        original: The frozen recogniser whose space is kept.
        teacher: Another recogniser, whose similarities within a batch are matched (its space may differ), or None.
        anchored: The weights that learn; the "anchor" term is their mean squared distance from where they started
            (L2-SP, Li et al., ICML 2018, arXiv 1802.01483).
        gather: Collects embeddings and person numbers of all processes (identity when there is one).
        bank: (G, 512) the original's embeddings of other training faces (`bank.memory_bank`), which then stand for
            the batch in the relational and the contrastive term.
    """

    def __init__(
        self,
        weights: TuningWeights,
        original: Recogniser,
        teacher: nn.Module | None = None,
        anchored: Iterable[nn.Parameter] = (),
        gather: Callable[[Tensor], Tensor] = lambda value: value,
        bank: Tensor | None = None,
    ) -> None:
        self._bank = bank
        self.weights, self._original, self._teacher, self._gather = weights, original, teacher, gather
        self._anchored = [(weight, weight.detach().clone()) for weight in anchored] if weights.anchor else []

    def __call__(self, output: LearnerOutput, batch: Batch) -> dict[str, Tensor]:
        """Return each term that has a weight, unweighted under its name, and their weighted sum under "loss"."""
        weights, embeddings = self.weights, output.embeddings.float()
        with torch.no_grad():
            targets, target_maps = self._original.embed_with_maps(batch.faces)
            gallery, same = others(targets, batch.person, self._gather, self._bank)
        terms = {"distill": identity_loss(embeddings, targets)}
        if weights.relational:
            terms["relational"] = relational_loss(embeddings, targets, gallery)
        if self._teacher is not None and weights.teacher:
            terms["teacher"] = _related(embeddings, self._gather(targets), self._teacher, batch.faces, self._gather)
        if weights.feature and target_maps:
            terms["feature"] = feature_loss(output.maps, target_maps)
        if weights.contrastive:
            terms["contrastive"] = contrastive_loss(embeddings, targets, gallery, same)
        if weights.margin:
            terms["margin"] = output.margin
        if weights.anchor:
            terms["anchor"] = self._distance()
        if weights.pixel:
            terms["pixel"] = F.l1_loss(output.faces, batch.faces)
        weighted = [getattr(weights, name) * value for name, value in terms.items()]
        return {**terms, "loss": torch.stack(weighted).sum()}

    def _distance(self) -> Tensor:
        moved = torch.stack([(weight - start).square().sum() for weight, start in self._anchored]).sum()
        return moved / sum(start.numel() for _, start in self._anchored)


def _related(
    embeddings: Tensor, gallery: Tensor, teacher: nn.Module, faces: Tensor, gather: Callable[[Tensor], Tensor]
) -> Tensor:
    """Match the teacher's similarities between full-size faces; only similarities compare across two spaces."""
    with torch.no_grad():
        seen = teacher(faces)
        wanted = seen @ gather(seen).T
    return F.mse_loss(embeddings @ gallery.T, wanted)
