"""The older EdgeFace-S: lightweight depthwise convolutions, from before the EdgeNeXt variants."""

from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution without bias, batch norm, hard-swish."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.activation = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        activated: Tensor = self.activation(self.bn(self.conv(x)))
        return activated


class DepthwiseBlock(nn.Module):
    """Widen by a 1x1 convolution, look around by a depthwise 3x3 one, narrow again without an activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, middle: int):
        super().__init__()
        self.conv_1x1_in = ConvBlock(inputs, middle, 1)
        self.conv_dw = ConvBlock(middle, middle, 3, stride, 1, groups=middle)
        self.conv_1x1_out = nn.Sequential(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        narrowed: Tensor = self.conv_1x1_out(self.conv_dw(self.conv_1x1_in(x)))
        return narrowed


class LDCNet(nn.Module):
    """EdgeFace-S (LDC): (B, 3, 112, 112) RGB in [-1, 1] to (B, 512), not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBlock(3, 32, 3, 2, 1),
            DepthwiseBlock(32, 64, 2, 64),
            DepthwiseBlock(64, 64, 1, 128),
            DepthwiseBlock(64, 128, 2, 128),
            DepthwiseBlock(128, 128, 1, 256),
            DepthwiseBlock(128, 128, 1, 256),
            DepthwiseBlock(128, 256, 2, 256),
            *(DepthwiseBlock(256, 256, 1, 512) for _ in range(4)),
            ConvBlock(256, 512, 1),
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 512, bias=False),
            nn.BatchNorm1d(512),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Embed (B, 3, 112, 112) as (B, 512)."""
        embeddings: Tensor = self.features(faces)
        return embeddings
