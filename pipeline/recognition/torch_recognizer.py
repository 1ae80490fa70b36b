"""Faces of any size -> unit embeddings: enlarge, restore, embed, with or without the mirror image."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.views.degrade import enlarge
from dataset.views.resolution import LARGEST_VLR_PX

FACE_PX = 112

Enlarge = Literal["bicubic", "bilinear", "nearest"]
Network = Callable[[Tensor], Tensor]
"""(B, 3, 112, 112) RGB float in [0, 1] -> a restored face of the same shape, or (B, D) embeddings."""


class Recognizer:
    """Embeds faces with one EdgeFace, behind a super-resolver or not.

    Args:
        edgeface: Embeds (B, 3, 112, 112) RGB in [0, 1], such as an `EdgeFaceEmbedding`.
        dsr: Restores the bicubic canvas of faces up to 32 px; larger ones pass by it. None: no super-resolution.
        flip: Add the embedding of the mirror image, then normalise.
        enlarge_by: How small faces are brought to 112 px; a super-resolver is trained on "bicubic".
    """

    def __init__(
        self, edgeface: Network, dsr: Network | None = None, flip: bool = True, enlarge_by: Enlarge = "bicubic"
    ) -> None:
        self.edgeface = edgeface
        self.dsr = dsr
        self.flip = flip
        self.enlarge_by: Enlarge = enlarge_by

    @torch.inference_mode()
    def embed(self, faces: Tensor) -> Tensor:
        """Return unit embeddings.

        Args:
            faces: (B, 3, h, w) RGB float in [0, 1], of one size.

        Returns:
            (B, D) float32, each of length 1.
        """
        return join_views([self.edgeface(view) for view in self.views(faces)])

    @torch.inference_mode()
    def views(self, faces: Tensor) -> list[Tensor]:
        """Return what the EdgeFace sees: the restored (B, 3, 112, 112) faces and, with `flip`, the mirrored ones."""
        return [self._restore(view) for view in ([faces, faces.flip(-1)] if self.flip else [faces])]

    def _restore(self, faces: Tensor) -> Tensor:
        side = max(faces.shape[-2:])
        if side == FACE_PX == min(faces.shape[-2:]):
            return faces
        canvas = enlarge_faces(faces, self.enlarge_by)
        return self.dsr(canvas) if self.dsr is not None and side <= LARGEST_VLR_PX else canvas


def enlarge_faces(faces: Tensor, how: Enlarge) -> Tensor:
    """Bring (B, 3, h, w) RGB in [0, 1] to (B, 3, 112, 112); larger faces are shrunk with antialiasing."""
    if max(faces.shape[-2:]) > FACE_PX:
        return F.interpolate(faces, (FACE_PX, FACE_PX), mode="bicubic", antialias=True).clamp(0, 1)
    if how == "bicubic":
        return enlarge(faces, FACE_PX)
    return F.interpolate(faces, (FACE_PX, FACE_PX), mode=how, **({} if how == "nearest" else {"align_corners": False}))


def join_views(embeddings: list[Tensor]) -> Tensor:
    """Add embeddings (B, D) of several views of the same faces and bring the sum to length 1."""
    return F.normalize(torch.stack(embeddings).sum(0).float(), dim=1)
