"""The options of `dataset prepare`, what they may not be together, and what a data set was made of."""

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset.formats.recognise import Format
from dataset.formats.recordio import is_recordio
from dataset.formats.source import Source
from dataset.photographs.layout import SPLITS, split_folder
from dataset.photographs.problems import PROBLEMS
from dataset.store_files import Kind
from engine.errors import UserError
from engine.files import sha256_of


class PrepareError(UserError):
    """Photographs that no data set can be made of."""


@dataclass(frozen=True)
class PrepareConfig:
    """Align photographs, split them by person into train, val and test, and pack them.

    PHOTOS is a folder of people's folders, a folder of files (with --identity-pattern), an index CSV (image,person and
    further columns), a zip or tar archive of folders, RecordIO (.rec), Parquet or WebDataset shards, a verification set
    (.bin), CelebA's folder, or folders with VGGFace2's or CASIA's lists of landmarks; its content tells which. Faces of
    112x112 pixels are taken as they are; photographs are aligned by --landmarks or the lists beside them, else by a
    detector (extra `detect`), on the largest face. What could not be used is listed in problems.csv. A split that
    --val-people, --test-people, --val-folds or --test-folds fills holds those people alone; the others are shared out
    by --split. Published parts are kept unless one of these is given. With --unlabelled nobody's people are read, and
    all faces become training faces for distillation. Of the training faces that --store keeps otherwise than as pixels
    there are no pictures to look at.
    """

    photos: Annotated[Path, typer.Argument(help="Folder, index CSV, archive, .rec, .bin, or folder of shards.")]
    out: Annotated[Path, typer.Option(help="Folder that receives the splits.")] = Path("dataset")
    format: Annotated[Format, typer.Option(help="What PHOTOS is; auto: what its content says.")] = "auto"
    split: Annotated[
        str, typer.Option(help="Shares of train, val and test; a split of share 0 is left out unless filled by name.")
    ] = "80,10,10"
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0
    identity_pattern: Annotated[
        str | None,
        typer.Option(help=r"Regular expression whose first group is the person in a file's name: '(.+)_\d+'."),
    ] = None
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Nobody says whose the faces are: all of them train, by distillation.")
    ] = False
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="CSV (image, left_eye_x, left_eye_y ... mouth_right_y), or CelebA's, VGGFace2's, CASIA's list."
        ),
    ] = None
    pairs: Annotated[Path | None, typer.Option(help="LFW pair list; each split keeps the pairs of its people.")] = None
    val_folds: Annotated[str, typer.Option(help="Folds of --pairs whose people are val, e.g. 8 or 7,8.")] = ""
    test_folds: Annotated[str, typer.Option(help="Folds of --pairs whose people are test.")] = ""
    val_people: Annotated[Path | None, typer.Option(help="Text file: people of val, one a line.")] = None
    test_people: Annotated[Path | None, typer.Option(help="Text file: people of test, one a line.")] = None
    exclude: Annotated[
        Path | None, typer.Option(help="Text file: people or images (paths below PHOTOS) to leave out, one a line.")
    ] = None
    store: Annotated[
        Kind,
        typer.Option(
            help="Training faces as pixels; encoded: as they were compressed, decoded for each batch; source: where "
            "they are in a .rec, which must stay there."
        ),
    ] = "raw"
    vlr_sizes: Annotated[str, typer.Option(help="Sizes in pixels of the low-resolution copies, or none.")] = (
        "8,12,16,24,32"
    )
    overwrite: Annotated[bool, typer.Option(help="Replace splits that are already there.")] = False


def refuse_people(config: PrepareConfig) -> None:
    """Refuse options about people where there are none."""
    given = {
        "--split": config.split if config.split != PrepareConfig.split else "",
        "--identity-pattern": config.identity_pattern,
        "--pairs": config.pairs,
        "--val-folds": config.val_folds,
        "--test-folds": config.test_folds,
        "--val-people": config.val_people,
        "--test-people": config.test_people,
    }
    about_people = [name for name, value in given.items() if value]
    if config.unlabelled and about_people:
        raise PrepareError(f"--unlabelled: all faces train, and nobody's people are read; leave {about_people[0]} out")


def refuse_source(config: PrepareConfig, source: Source) -> None:
    """Refuse to leave images in anything but one RecordIO file."""
    if config.store == "source" and not (len(source.files) == 1 and is_recordio(source.files[0])):
        raise PrepareError(f"--store source: {config.photos} is not one .rec; pass --store encoded")


def refuse_to_replace(config: PrepareConfig, source: Source) -> None:
    """Refuse to read what the new splits take the place of."""
    lists = [config.photos, config.landmarks, config.pairs, config.val_people, config.test_people, config.exclude]
    replaced = [split_folder(config.out, split) for split in SPLITS] + [config.out / PROBLEMS]
    places = {Path(os.path.realpath(place)): place for place in replaced}
    for path in [*(path for path in lists if path), *source.lists, *source.files]:
        real = Path(os.path.realpath(path))
        place = next((places[place] for place in places if real.is_relative_to(place)), None)
        if place:
            raise PrepareError(f"{path}: stands in {place}, which the new splits replace; choose another --out")


def made_of(
    config: PrepareConfig, shares: dict[str, float], sizes_px: list[int], hashes: dict[str, str], source: Source
) -> dict[str, Any]:
    """Return all that the result depends on; files by their content."""
    images = [[record.name, record.person, hashes.get(record.name)] for record in source.records]
    files = {
        "landmarks": config.landmarks,
        "pairs": config.pairs,
        "val_people": config.val_people,
        "test_people": config.test_people,
        "exclude": config.exclude,
    }
    return {
        "photos": sha256(json.dumps(images).encode()).hexdigest(),
        "lists": [sha256_of(path) for path in source.lists],
        "split": shares,
        "seed": config.seed,
        "identity_pattern": config.identity_pattern,
        "val_folds": config.val_folds,
        "test_folds": config.test_folds,
        "vlr_sizes": sizes_px,
        **({"unlabelled": True} if config.unlabelled else {}),
        **({"store": config.store} if config.store != "raw" else {}),
        **{name: sha256_of(path) if path else None for name, path in files.items()},
    }
