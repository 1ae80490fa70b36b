"""What a fine-tuned network is asked for: the original's embeddings, for faces that carry less."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.batches import Batch
from facial_rec.chain import ChainOutput
from facial_rec.objectives import contrastive_loss, identity_loss, relational_loss


@dataclass(frozen=True)
class TuningWeights:
    """Weight of each term; zero switches a term off and saves its work."""

    distill: float = 1.0
    relational: float = 10.0
    contrastive: float = 0.0
    margin: float = 0.01
    pixel: float = 0.0


class TuningLoss:
    """The weighted sum, with each term by name.

    Args:
        weights: Weight of each term.
        original: The frozen recogniser whose space is kept: (B, 3, 112, 112) in [0, 1] -> unit embeddings (B, D).
        gather: Collects embeddings and person numbers of all processes (identity when there is one).
    """

    def __init__(
        self, weights: TuningWeights, original: nn.Module, gather: Callable[[Tensor], Tensor] = lambda value: value
    ) -> None:
        self.weights, self._original, self._gather = weights, original, gather

    def __call__(self, output: ChainOutput, batch: Batch) -> dict[str, Tensor]:
        """Return each term that has a weight, unweighted under its name, and their weighted sum under "loss"."""
        weights, embeddings = self.weights, output.embeddings.float()
        with torch.no_grad():
            targets = self._original(batch.faces)
            gallery = self._gather(targets)
        terms = {"distill": identity_loss(embeddings, targets)}
        if weights.relational:
            terms["relational"] = relational_loss(embeddings, targets, gallery)
        if weights.contrastive:
            positives = batch.person[:, None] == self._gather(batch.person)[None, :]
            terms["contrastive"] = contrastive_loss(embeddings, targets, gallery, positives)
        if weights.margin:
            terms["margin"] = output.margin
        if weights.pixel:
            terms["pixel"] = F.l1_loss(output.faces, batch.faces)
        weighted = [getattr(weights, name) * value for name, value in terms.items()]
        return {**terms, "loss": torch.stack(weighted).sum()}
