"""The super-resolver: one network for every input size from 6 to 32 px."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACE_PX = 112
GRID = FACE_PX // 16  # positions a side at the coarsest scale
# A box of 4 and one of 2: silent at 4 and 2 px, the periods that a pixel shuffle by 4 would draw.
SMOOTHING = (1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8)


@dataclass(frozen=True)
class Preset:
    """Channels and residual blocks at 28, 14 and 7 positions a side."""

    channels: tuple[int, int, int]
    blocks: tuple[int, int, int]


PRESETS = {
    "small": Preset(channels=(32, 48, 64), blocks=(1, 1, 1)),
    "base": Preset(channels=(48, 80, 112), blocks=(2, 2, 3)),
    "large": Preset(channels=(64, 128, 192), blocks=(3, 3, 4)),
}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity, without normalisation (EDSR, Lim et al., CVPRW 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        # A small branch keeps a deep stack near the identity at first; at zero, what follows would not learn either.
        with torch.no_grad():
            self.conv2.weight.mul_(0.2)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        change: Tensor = self.conv2(F.gelu(self.conv1(features)))
        return features + change


class MixerBlock(nn.Module):
    """Global context: every one of the 7x7 positions sees every other (MLP-Mixer, Tolstikhin et al., NeurIPS 2021).

    Aligned faces have fixed places for eyes, nose and mouth, so that learned weights between places are enough.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.places = nn.Sequential(nn.Linear(GRID**2, 2 * GRID**2), nn.GELU(), nn.Linear(2 * GRID**2, GRID**2))
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, 7, 7) -> (B, C, 7, 7)."""
        tokens: Tensor = features.flatten(2).transpose(1, 2)
        tokens = tokens + self.places(self.norm1(tokens).transpose(1, 2)).transpose(1, 2)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(features.shape)


class DSR(nn.Module):
    """Restores faces that were enlarged to 112x112 by bicubic interpolation.

    The 112x112 canvas is folded to 28x28 positions of 48 channels, so that all work happens at the resolution where
    a face of up to 32 px has its information, static in shape whatever the size was. Residual blocks at 28x28 and
    14x14 and token mixing at 7x7 form a small U-Net (Ronneberger et al., MICCAI 2015); the output is a correction
    of the canvas' brightness, zero before training. Colour stays the input's, so that grey faces stay grey, and the
    correction is smoothed, so that it holds no grid.

    Args:
        preset: A name of `PRESETS`.
    """

    def __init__(self, preset: str = "base") -> None:
        super().__init__()
        self.preset = preset
        fine, middle, coarse = PRESETS[preset].channels
        n_fine, n_middle, n_coarse = PRESETS[preset].blocks
        self.fold = nn.PixelUnshuffle(4)
        self.head = nn.Conv2d(48, fine, 3, padding=1)
        self.fine_in = nn.Sequential(*(ResidualBlock(fine) for _ in range(n_fine)))
        self.down1 = nn.Conv2d(fine, middle, 2, stride=2)
        self.middle_in = nn.Sequential(*(ResidualBlock(middle) for _ in range(n_middle)))
        self.down2 = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = nn.Sequential(*(MixerBlock(coarse) for _ in range(n_coarse)))
        self.up2 = nn.Conv2d(coarse, 4 * middle, 1)
        self.middle_out = nn.Sequential(*(ResidualBlock(middle) for _ in range(n_middle)))
        self.up1 = nn.Conv2d(middle, 4 * fine, 1)
        self.fine_out = nn.Sequential(*(ResidualBlock(fine) for _ in range(n_fine)))
        self.tail = nn.Conv2d(fine, 16, 3, padding=1)
        kernel = torch.tensor(SMOOTHING)
        self.smoothing = nn.Buffer((kernel[:, None] * kernel)[None, None], persistent=False)
        with torch.no_grad():
            for parameter in self.tail.parameters():
                parameter.zero_()

    def forward(self, canvas: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            canvas: (B, 3, 112, 112) RGB in [0, 1], the low-resolution faces enlarged by bicubic interpolation.

        Returns:
            (B, 3, 112, 112) RGB in [0, 1]. Gradients pass the clamp unchanged, so that no pixel is ever stuck.
        """
        fine = self.fine_in(self.head(self.fold(canvas - 0.5)))
        middle = self.middle_in(self.down1(fine))
        coarse = self.coarse(self.down2(middle))
        middle = self.middle_out(middle + F.pixel_shuffle(self.up2(coarse), 2))
        fine = self.fine_out(fine + F.pixel_shuffle(self.up1(middle), 2))
        brightness = F.conv2d(F.pixel_shuffle(self.tail(fine), 4), self.smoothing.to(fine.dtype), padding=2)
        restored = canvas + brightness.to(canvas.dtype)
        if not self.training and not torch.is_grad_enabled():
            return restored.clamp(0, 1)
        return restored + (restored.clamp(0, 1) - restored).detach()
