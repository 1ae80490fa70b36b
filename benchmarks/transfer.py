"""Does a super-resolver serve recognisers that took no part in its training?

python -m benchmarks.transfer DATASET/val_processed edgeface_xxs.pt,edgeface_xs.pt first.pth,second.safetensors \
    [clean|real] [FACES]

prints, for each recogniser, TAR at FAR 0.1 % and the identity loss of bicubic enlargement and of each super-resolver,
on all comparisons between full-size and low-resolution photographs of the split, or of as many as FACES says, without
mirror images.
"""

import sys
from pathlib import Path

from dataset.store import FaceStore
from dataset.views.degrade import Degradation
from dsr.dsr_file import load_dsr
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.validation import Restore, VerificationSet, table_line


def main(
    split: str, recognisers: str, super_resolvers: str, degradation: Degradation = "clean", faces: int | str = 0
) -> None:
    """Print the table."""
    store = FaceStore.open(Path(split))
    limit = int(faces) or len(store)
    systems: dict[str, Restore] = {"bicubic": lambda canvas: canvas}
    systems |= {name: load_dsr(name) for name in super_resolvers.split(",")}
    for recogniser in recognisers.split(","):
        validation = VerificationSet(store, EdgeFaceEmbedding(recogniser), limit=limit, degradation=degradation)
        for name, restore in systems.items():
            measured = validation.measure(restore)
            for figure in ("tar@far=1e-3", "tar@far=1e-2", "accuracy", "identity"):
                print(f"{recogniser}  {name}  {figure}  {table_line(measured, figure)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
