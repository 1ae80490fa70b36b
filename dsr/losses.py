"""What a restored face is asked for: its pixels, and the identity that recognisers see in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.views.augment import displace
from engine.errors import UserError
from facial_rec.finetuning.bank import others
from facial_rec.finetuning.embedding_losses import (
    Recogniser,
    contrastive_loss,
    feature_loss,
    identity_loss,
    relational_loss,
)


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; zero switches a term off and saves its work."""

    pixel: float = 1.0
    identity: float = 0.6
    feature: float = 0.18
    contrastive: float = 0.0
    relational: float = 0.0
    tv: float = 1e-5
    perceptual: float = 0.0
    adversarial: float = 0.0


def pixel_loss(restored: Tensor, faces: Tensor) -> Tensor:
    """Mean absolute difference of (B, 3, H, W) in [0, 1]."""
    return F.l1_loss(restored, faces)


def tv_loss(restored: Tensor) -> Tensor:
    """Anisotropic total variation: mean absolute difference of neighbouring pixels of (B, 3, H, W)."""
    return restored.diff(dim=2).abs().mean() + restored.diff(dim=3).abs().mean()


class RestorationLoss:
    """The weighted sum, with each term by name.

    Args:
        weights: Weight of each term.
        recognisers: One or several frozen recognisers; their terms are averaged.
        perceptual: Maps two batches of faces to a distance, or None.
        judge: Maps restored faces to a scalar that falls as they look more like photographs, or None.
        gather: Collects HR embeddings and person numbers of all processes (identity when there is one).
        displace_px: Recognisers see the restored face displaced by up to this, at random: otherwise the network
            learns fine patterns, locked to the recogniser's patches, that mean a person to it and noise to a viewer.
        banks: For each recogniser its embeddings (G, D) of other training faces (`facial_rec.finetuning.bank`), which
            then stand for the batch in the contrastive and the relational term.
    """

    def __init__(
        self,
        weights: LossWeights,
        recognisers: Sequence[Recogniser],
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
        judge: Callable[[Tensor], Tensor] | None = None,
        gather: Callable[[Tensor], Tensor] = lambda value: value,
        displace_px: float = 0.0,
        banks: Sequence[Tensor] | None = None,
    ) -> None:
        self.weights = weights
        self._displace_px = displace_px
        self.recognisers = recognisers
        self._perceptual, self._judge = perceptual, judge
        self._gather, self._banks = gather, banks

    def __call__(
        self, restored: Tensor, faces: Tensor, person: Tensor, draws: Tensor, known: list[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Compare restored faces with the originals.

        Args:
            restored: (B, 3, 112, 112) RGB in [0, 1].
            faces: (B, 3, 112, 112) RGB in [0, 1].
            person: (B,) int64.
            draws: (B, 3) in [0, 1): the displacement.
            known: HR embeddings (B, D) of each recogniser, where they were computed ahead; else they are computed.
                Those are of faces in their place, so that a displaced face is asked for the same embedding; computed
                ones are of faces displaced alike, which is the milder demand, and which stage maps need.

        Returns:
            Each term unweighted under its name, their weighted sum under "loss", and with several recognisers each
            one's share of the identity as "identity 0" and so on.
        """
        terms = {"pixel": pixel_loss(restored, faces), "tv": tv_loss(restored)}
        if self._perceptual is not None and self.weights.perceptual:
            terms["perceptual"] = self._perceptual(restored, faces)
        if self._judge is not None and self.weights.adversarial:
            terms["adversarial"] = self._judge(restored)
        if self._displace_px:
            restored = displace(restored.float(), draws, self._displace_px)
            faces = displace(faces, draws, self._displace_px) if known is None else faces
        terms |= self._recognition_terms(restored, faces, person, known)
        weighted = [weight * terms[name] for name, weight in vars(self.weights).items() if name in terms]
        return {**terms, "loss": torch.stack(weighted).sum()}

    def _recognition_terms(
        self, restored: Tensor, faces: Tensor, person: Tensor, known: list[Tensor] | None
    ) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        for number, recogniser in enumerate(self.recognisers):
            target_maps: list[Tensor] = []
            if known is not None:
                targets = known[number]
            else:
                with torch.no_grad():
                    targets, target_maps = recogniser.embed_with_maps(faces)
            embeddings, maps = recogniser.embed_with_maps(restored)
            terms = {"identity": identity_loss(embeddings, targets)}
            if self.weights.feature and target_maps:
                terms["feature"] = feature_loss(maps, target_maps)
            bank = self._banks[number] if self._banks else None
            gallery, same = others(targets, person, self._gather, bank)
            if self.weights.contrastive:
                terms["contrastive"] = contrastive_loss(embeddings, targets, gallery, same)
            if self.weights.relational:
                terms["relational"] = relational_loss(embeddings, targets, gallery)
            if len(self.recognisers) > 1:
                sums[f"identity {number}"] = terms["identity"].detach()
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value / len(self.recognisers)
        return sums


def vgg_distance(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the perceptual distance of Johnson et al. (ECCV 2016): VGG-19 features after relu3_4.

    The weights are torchvision's and are downloaded at the first use. They cost some fifty times EdgeFace's work;
    `feature_loss` on the recogniser's own stages is the cheap alternative.

    Raises:
        UserError: They cannot be downloaded.
    """
    from torchvision.models import VGG19_Weights, vgg19

    try:
        network = vgg19(weights=VGG19_Weights.IMAGENET1K_V1)
    except OSError as error:
        if error.errno is not None:  # a full disk, which the command names
            raise
        raise UserError(f"--perceptual: VGG-19 cannot be downloaded ({error}); connect, or leave it out") from None
    features = network.features[:18].to(device).eval().requires_grad_(False)
    mean = torch.tensor([0.485, 0.456, 0.406], device=device)[:, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device)[:, None, None]

    def distance(restored: Tensor, faces: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1], twice -> mean absolute difference of the features."""
        return F.l1_loss(features((restored - mean) / deviation), features((faces - mean) / deviation))

    return distance
