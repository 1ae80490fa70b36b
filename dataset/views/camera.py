"""What happens to a face between the person and a low-resolution file: alignment error, blur, sensor noise.

Blur follows the transfer functions of the optics, applied to the spectrum: any width and direction, and one product
for a batch in which every face has its own. Beyond a mirrored margin of 24 px the picture wraps round, so that a
Gaussian of more than 8 px, or a motion of more than 48, brings in some of the opposite edge.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dataset.views.random_streams import Draws

_MARGIN_PX = 24


def misalign(faces: Tensor, draws: Draws, strength: float = 1.0) -> Tensor:
    """Move faces as landmarks that are a little off would: turn, scale, shift.

    Args:
        faces: (B, 3, H, W) RGB.
        draws: Random numbers, one stream a face.
        strength: 1 is a standard deviation of 2 degrees, 2.5 % of scale and 1.2 % of the width.

    Returns:
        (B, 3, H, W) RGB; beyond the border the edge is repeated.
    """
    turn, scale, right, down = (strength * draws.normal(4).clamp(-2.5, 2.5)).T
    angle, scale = turn * math.radians(2), 1 + 0.025 * scale
    matrix = torch.stack(
        [
            torch.stack([scale * angle.cos(), -scale * angle.sin(), 0.024 * right], -1),
            torch.stack([scale * angle.sin(), scale * angle.cos(), 0.024 * down], -1),
        ],
        1,
    )
    grid = F.affine_grid(matrix.to(faces.dtype), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)


def blur(faces: Tensor, sigmas_px: Tensor, angle: Tensor, motion_px: Tensor, direction: Tensor) -> Tensor:
    """Blur by an anisotropic Gaussian (defocus, atmosphere) and by straight motion during the exposure.

    Args:
        faces: (B, 3, H, W) RGB in [0, 1].
        sigmas_px: (B, 2) standard deviations along and across the Gaussian's axis, in pixels.
        angle: (B,) of that axis, in radians.
        motion_px: (B,) length of the motion, in pixels.
        direction: (B,) of the motion, in radians.

    Returns:
        (B, 3, H, W) RGB in [0, 1].
    """
    padded = F.pad(faces, [_MARGIN_PX] * 4, mode="reflect")
    height, width = padded.shape[2:]
    down = torch.fft.fftfreq(height, device=faces.device)[:, None]
    right = torch.fft.rfftfreq(width, device=faces.device)[None]

    def along(radians: Tensor) -> Tensor:
        turned = radians[:, None, None]
        phase: Tensor = right * turned.cos() + down * turned.sin()
        return phase

    first, second = (sigmas_px[:, :, None, None] ** 2).unbind(1)
    spread = first * along(angle) ** 2 + second * along(angle + math.pi / 2) ** 2
    transfer = torch.exp(-2 * math.pi**2 * spread) * torch.sinc(motion_px[:, None, None] * along(direction))
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer[:, None], s=(height, width))
    return blurred[:, :, _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX].clamp(0, 1)


def sensor_noise(pictures: Tensor, shot: Tensor, read: Tensor, colour: Tensor, draws: Draws) -> Tensor:
    """Add noise whose variance grows with the light (Foi et al., IEEE TIP 2008, the Gaussian form).

    Args:
        pictures: (B, 3, S, S) RGB in [0, 1].
        shot: (B,) variance per unit of light.
        read: (B,) standard deviation in the dark.
        colour: (B,) in [0, 1]: share of the noise that differs between the channels.
        draws: Random numbers, one stream a picture.

    Returns:
        (B, 3, S, S), not clamped; the noise of a smaller S is the upper left corner of a larger one's.
    """
    shot, read, colour = (value[:, None, None, None] for value in (shot, read, colour))
    normal = draws.normal_square(4, pictures.shape[-1])
    noise = (1 - colour).sqrt() * normal[:, :1] + colour.sqrt() * normal[:, 1:]
    deviation: Tensor = (shot * pictures + read**2).sqrt()
    return pictures + deviation * noise
