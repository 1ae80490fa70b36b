"""Faces that cannot be embedded as they are, told apart by the mistake behind them."""

import torch
from torch import Tensor

from facial_rec.loading.refusals import FacesError

# Resizing and 16-bit floats overshoot by less than this.
_OVERSHOOT = 2e-3


def check_faces(faces: Tensor) -> Tensor:
    """Return the faces, having checked that they are (B, 3, H, W) RGB float in [0, 1].

    Raises:
        FacesError: With what to do about it.
    """
    if not isinstance(faces, Tensor):
        raise FacesError(f"faces: a {type(faces).__name__}, not a tensor; pass torch.from_numpy(array)")
    shape = "x".join(map(str, faces.shape))
    if not faces.is_floating_point():
        raise FacesError(f"faces: {faces.dtype} values; convert with faces.float() / 255")
    if faces.dim() != 4:
        raise FacesError(f"faces: shape {shape}, expected Bx3xHxW; add the batch dimension with faces[None]")
    if faces.shape[1] != 3:
        remedy = (
            "permute(0, 3, 1, 2) puts the channels first" if faces.shape[3] == 3 else "expand grey to three channels"
        )
        raise FacesError(f"faces: shape {shape}, expected Bx3xHxW; {remedy}")
    if faces.numel() == 0:
        raise FacesError(f"faces: an empty batch (shape {shape}); skip it")
    if not torch.compiler.is_compiling() and torch._C._get_tracing_state() is None:
        _check_range(faces)
    return faces


def _check_range(faces: Tensor) -> None:
    lowest, highest = torch.stack(torch.aminmax(faces.detach())).tolist()
    if lowest >= -_OVERSHOOT and highest <= 1 + _OVERSHOOT:
        return
    if lowest != lowest or highest != highest:
        remedy = "they hold NaN; look at where they come from"
    elif highest > 2:
        remedy = "divide by 255"
    elif -1 - _OVERSHOOT <= lowest < 0 and highest <= 1 + _OVERSHOOT:
        remedy = "already normalised? pass (faces + 1) / 2; normalising is done inside"
    else:
        remedy = "clamp them"
    raise FacesError(f"faces: values from {lowest:.3g} to {highest:.3g}, expected 0 to 1; {remedy}")
