import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from dataset.views.jpeg import jpeg


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("subsampled", [False, True])
def test_the_result_is_what_libjpeg_makes_of_it(quality, subsampled):
    noise = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(quality))
    pictures = (F.interpolate(noise, (48, 32), mode="bicubic").clamp(0, 1) * 255).round() / 255
    ours = jpeg(pictures, torch.full((4,), float(quality)), torch.full((4,), subsampled))
    for picture, result in zip(pictures, ours, strict=True):
        pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2 if subsampled else 0)
        pillow = np.asarray(Image.open(file)).astype(int)
        mine = (result * 255).round().permute(1, 2, 0).numpy().astype(int)
        loss = np.abs(pixels.astype(int) - pillow).mean()
        assert np.abs(mine - pillow).mean() < max(0.15 * loss, 0.5)


def test_each_picture_has_its_own_quality():
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1, -1)
    qualities, subsampled = torch.tensor([10.0, 50.0, 100.0]), torch.tensor([True, False, False])
    errors = (jpeg(picture, qualities, subsampled) - picture).abs().flatten(1).mean(1)
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.01
