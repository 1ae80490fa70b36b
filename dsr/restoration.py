"""Low-resolution faces in, 112x112 faces out."""

from torch import Tensor

from dataset.views.degrade import enlarge, shrink
from dataset.views.resolution import LARGEST_VLR_PX
from dsr.network import DSR, FACE_PX


def restore(model: DSR, faces: Tensor) -> Tensor:
    """Restore faces of one size.

    Args:
        model: A super-resolver.
        faces: (B, 3, s, s) RGB in [0, 1]; larger than 32 px they are only resized.

    Returns:
        (B, 3, 112, 112) RGB in [0, 1].
    """
    size = faces.shape[-1]
    if size > FACE_PX:
        return shrink(faces, FACE_PX)
    canvas = enlarge(faces)
    return canvas if size > LARGEST_VLR_PX else model(canvas)
