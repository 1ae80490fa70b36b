"""Draw the README's picture: synthetic faces as seen, enlarged, restored by the shipped super-resolver, and whole.

python -m benchmarks.picture docs/images/faces.png
"""

import sys
from pathlib import Path

import torch

from dataset.synthetic.people import synthetic_faces
from dsr.dsr_file import load_dsr
from dsr.samples import sample_grid

PEOPLE = 6


def main(path: str) -> None:
    """Write the picture."""
    faces = synthetic_faces(torch.arange(PEOPLE), torch.arange(PEOPLE), seed=7).float() / 255
    sample_grid(load_dsr(None), faces).save(Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
