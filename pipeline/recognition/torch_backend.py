"""The recogniser in torch, behind the interface of `backends`."""

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from pipeline.deployment.deployed import choose_deployed, model_hash


class ThresholdMissingError(UserError):
    """Networks in torch carry no measured threshold."""


class TorchBackend:
    """Networks loaded one by one; see `backends.Backend` and `deployed.choose_deployed`.

    Args:
        edgeface: Original EdgeFace.
        dsr: Super-resolver.
        finetuned: EdgeFace for small faces.
        adapter: The original's for small faces.
        threads: Threads that torch may use, in this whole process.
    """

    def __init__(self, edgeface: str | None, dsr: str, finetuned: str, adapter: str, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._networks = choose_deployed(edgeface, dsr, finetuned, adapter)
        self.hashes = self._networks.hashes
        self.model = model_hash(self.hashes, "fp32")

    @property
    def threshold(self) -> float:
        """Not known.

        Raises:
            ThresholdMissingError: Always; an export measures one.
        """
        raise ThresholdMissingError(
            "networks in torch carry no threshold; give --threshold, or use an exported --model"
        )

    def embed(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 512) of unit length."""
        return self._networks.embed(faces)

    def restore(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 112, 112), what EdgeFace sees."""
        return self._networks.restore(faces)
