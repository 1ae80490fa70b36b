"""A margin loss whose centres are computed from what is known of each person, instead of learned one by one."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facial_rec.networks.edgeface import EMBEDDING_SIZE

SCALE, MARGIN = 24.0, 0.1
_HIDDEN = 256


class DescribedMargin(nn.Module):
    """CosFace's loss (Wang et al., CVPR 2018) around centres that a small network makes of people's descriptions.

    What one face teaches about a description serves everybody who resembles its person, so that thousands of people
    with a few photographs each are learned in minutes; free centres see each person a few times only. Scale and
    margin are gentler than usual (64, 0.35): from scratch and in a short time those never begin to learn.

    Args:
        descriptions: (P, T) float32, one row a person, each column of mean about 0 and deviation about 1.
    """

    descriptions: Tensor

    def __init__(self, descriptions: Tensor) -> None:
        super().__init__()
        self.register_buffer("descriptions", descriptions)
        self.centre = nn.Sequential(
            nn.Linear(descriptions.shape[1], _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, EMBEDDING_SIZE)
        )

    def forward(self, embeddings: Tensor, person: Tensor, quality: Tensor) -> Tensor:
        """Return the mean loss of embeddings (B, 512) of length 1 and person (B,) int64; the quality is not used."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = embeddings.float() @ F.normalize(self.centre(self.descriptions)).T
            own = F.one_hot(person, len(self.descriptions))
            return F.cross_entropy(SCALE * (cosines - MARGIN * own), person)
