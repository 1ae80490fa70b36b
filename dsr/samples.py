"""Pictures of what a super-resolver does: low-resolution, bicubic, restored and original faces side by side."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.views.degrade import enlarge, shrink
from engine.files import atomic_path

FACE_PX = 112


@dataclass(frozen=True)
class Grid:
    """One picture: a row a face and size, the columns VLR, bicubic, restored, HR."""

    tensor: Tensor
    """(3, H, W) RGB in [0, 1]."""

    def save(self, path: Path) -> None:
        """Write the picture atomically; the suffix chooses the format."""
        from torchvision.utils import save_image  # here, since a second of imports is not for --help to wait for

        with atomic_path(path) as temporary:
            save_image(self.tensor, temporary, format=path.suffix[1:])


@torch.no_grad()
def sample_grid(model: nn.Module, faces: Tensor, sizes_px: tuple[int, ...] = (8, 12, 16, 24, 32)) -> Grid:
    """Show each of (B, 3, 112, 112) faces at one of the sizes, in turn."""
    from torchvision.utils import make_grid  # here, as in `Grid.save`

    tiles = []
    for number in range(len(faces)):
        face = faces[number : number + 1]
        low = shrink(face, sizes_px[number % len(sizes_px)])
        canvas = enlarge(low)
        tiles += [F.interpolate(low, (FACE_PX, FACE_PX), mode="nearest"), canvas, model(canvas).float(), face]
    return Grid(make_grid(torch.cat(tiles).cpu(), nrow=8, padding=2, pad_value=1.0))
