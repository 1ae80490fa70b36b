"""Write a prepared split as the field passes faces on: RecordIO, or a verification set of a list of pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.formats.recordio_writer import write_recordio
from dataset.formats.verification_set import FOLDS, write_verification_set
from dataset.photographs.image_files import ImageError, encode_image
from engine.cli import command
from engine.errors import UserError
from engine.files import make_writable
from engine.runlog import progress_bar
from pipeline.evaluation.faces import HR_PX, Split, open_split
from pipeline.evaluation.pair_labels import pairs_of

_BATCH = 256


class ExportError(UserError):
    """What cannot be written as asked."""


@dataclass(frozen=True)
class ExportConfig:
    """Write the full-size faces of a split for other tools.

    OUT.rec: RecordIO as InsightFace trains on, with its .idx, .lst and property beside it. OUT.bin: a verification set,
    two faces for each pair of a list, fold by fold; pairs in one fold are shared out into ten parts of both kinds.
    """

    split: Annotated[Path, typer.Argument(help="A split's folder, as `dataset prepare` writes it.")]
    out: Annotated[Path, typer.Argument(help="The file to write: .rec or .bin.")]
    pairs: Annotated[
        Path | None,
        typer.Option(help="Of .bin: LFW pairs.txt or CSV (first,second,same,fold); else the split's."),
    ] = None
    jpeg: Annotated[int, typer.Option(min=0, max=100, help="Quality of JPEG; 0: PNG, which loses nothing.")] = 0


def export(config: ExportConfig) -> None:
    """Write what `config` describes.

    Raises:
        ExportError: Another ending, no pairs, or a face that cannot be read.
    """
    ending = config.out.suffix.lower()
    if ending not in (".rec", ".bin"):
        raise ExportError(f"{config.out}: give a name that ends in .rec or .bin")
    if ending == ".rec" and config.pairs is not None:
        raise ExportError("--pairs is for a .bin; a .rec has the whole split")
    split = open_split(config.split)
    make_writable(config.out.parent)
    if ending == ".rec":
        _write_recordio(split, config)
    else:
        _write_pairs(split, config)


def _write_recordio(split: Split, config: ExportConfig) -> None:
    rows = np.argsort(split.person, kind="stable")
    images = (
        (split.keys[row], split.people[split.person[row]], data)
        for row, data in zip(rows.tolist(), _encoded(split, rows, config.jpeg), strict=True)
    )
    count = write_recordio(config.out, split.people, images, HR_PX)
    print(f"{config.out}: {count:,} images of {len(split.people):,} people")


def _write_pairs(split: Split, config: ExportConfig) -> None:
    listed = pairs_of(config.pairs, split, None, config.out.parent)
    if listed is None:
        raise ExportError(f"{config.split}: no pairs.txt or pairs.csv in it to write; give --pairs")
    order = np.argsort(listed.parts, kind="stable")
    faces = list(_encoded(split, listed.rows[order].reshape(-1), config.jpeg))
    write_verification_set(config.out, faces, listed.same[order].tolist())
    _, sizes = np.unique(listed.parts, return_counts=True)
    print(f"{config.out}: {len(order):,} pairs, {int(listed.same.sum()):,} of one person, in {len(sizes)} parts")
    if len(sizes) != FOLDS or len(set(sizes.tolist())) > 1:
        print(f"note: readers take {FOLDS} equal parts in the order of the pairs for folds, which these are not")


def _encoded(split: Split, rows: NDArray[np.int64], jpeg: int) -> Iterator[bytes]:
    """Yield the encoded faces of these rows."""
    with progress_bar(len(rows), 0, "face", "writing") as bar:
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            for face in split.views(part, HR_PX):
                if face is None:
                    raise ImageError(next(iter(split.failures.values())))
                yield encode_image(face, jpeg)
                bar.update()


main = command(ExportConfig, export, example="python -m dataset export dataset/train_processed train.rec")

if __name__ == "__main__":
    main()
