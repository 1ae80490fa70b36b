"""A critic of looks, trained beside the super-resolver: is this patch of a photograph, or restored?"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from engine.optimisation import Training


class PatchCritic(nn.Module):
    """Judges overlapping patches of 46 px (PatchGAN, Isola et al., CVPR 2017).

    Spectral normalisation (Miyato et al., ICLR 2018) keeps it smooth, and its judgement of a face independent of the
    rest of the batch, so that several processes judge as one.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for factor in (1, 2, 4):
            layers += [_normalised(channels, factor * width, stride=2), nn.LeakyReLU(0.2)]
            channels = factor * width
        self.layers = nn.Sequential(*layers, _normalised(channels, 1, stride=1))

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] -> (B, 1, 13, 13): above zero looks like a photograph."""
        judged: Tensor = self.layers((faces - 0.5) / 0.5)
        return judged


class Adversary:
    """The two sides of the game, with the hinge loss (Lim and Ye, arXiv 1705.02894).

    Args:
        training: Of a `PatchCritic`.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self._critic = training.raw

    def judge(self, restored: Tensor) -> Tensor:
        """Return what the super-resolver is to lower: minus the mean judgement; the critic gets no gradient."""
        self._critic.requires_grad_(False)
        try:
            return -cast(Tensor, self._critic(restored)).mean()
        finally:
            self._critic.requires_grad_(True)

    def learn(self, restored: Tensor, faces: Tensor) -> Tensor:
        """Return the critic's own loss, for its `training.update`: 0 where it tells all apart with a margin of 1."""
        judged = self.training.model(torch.cat([faces, restored.detach()]))
        real, false = judged.float().chunk(2)
        return torch.relu(1 - real).mean() + torch.relu(1 + false).mean()


def _normalised(channels: int, outputs: int, stride: int) -> Any:
    return spectral_norm(nn.Conv2d(channels, outputs, 4, stride=stride, padding=1))
