from pathlib import Path

import torch
from PIL import Image

from dsr.network import DSR
from dsr.samples import sample_grid


def test_the_grid_shows_four_tiles_a_face(tmp_path: Path) -> None:
    grid = sample_grid(DSR("small"), torch.rand(4, 3, 112, 112))
    assert grid.tensor.shape == (3, 2 * 114 + 2, 8 * 114 + 2)
    grid.save(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (8 * 114 + 2, 2 * 114 + 2)
