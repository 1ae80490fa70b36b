"""Align photographs, split them by person, make low-resolution copies and pack them."""

import json
import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from dataset.formats.landmark_lists import named_as, read_any_landmarks
from dataset.formats.recognise import Format, open_source
from dataset.formats.source import Record, Source
from dataset.photographs.align import AlignError
from dataset.photographs.assembly import SplitWriter, is_prepared, parse_sizes, publish, refuse_file, staging
from dataset.photographs.image_files import ImageError
from dataset.photographs.intake import (
    FindLandmarks,
    Photo,
    aligned_face,
    digests,
    listed_landmarks,
    names_of_nothing,
    with_detector,
    with_names,
)
from dataset.photographs.landmark_check import LandmarkCheck
from dataset.photographs.layout import NOBODY, PAIRS, SPLITS, UNLABELLED, Face, made_here, split_folder
from dataset.photographs.pairs import Pair, read_pairs, write_pairs_among
from dataset.photographs.photograph_folders import passed_over_words
from dataset.photographs.prepared_report import count_people, tell_problems, tell_splits
from dataset.photographs.problems import PROBLEMS, Problem, as_csv, kinds, unusable, why_lost
from dataset.photographs.selection import choose_people, duplicates, excluded, without
from dataset.photographs.splits import FEWEST_PEOPLE, assign, parse_shares
from engine.cli import command
from engine.errors import UserError
from engine.files import sha256_of, write_text
from engine.runlog import progress_bar
from engine.text import composed


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
    all faces become training faces for distillation.
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
    vlr_sizes: Annotated[str, typer.Option(help="Sizes in pixels of the low-resolution copies, or none.")] = (
        "8,12,16,24,32"
    )
    overwrite: Annotated[bool, typer.Option(help="Replace splits that are already there.")] = False


def prepare(config: PrepareConfig) -> None:
    """Write the data set that `config` describes."""
    refuse_file(config.out)
    plan = _plan(config)
    if is_prepared(config.out, plan.made_of, config.overwrite):
        print(f"{config.out}: already prepared from these photographs with these settings")
        return
    _check_people(plan.photos, plan)
    with staging(config.out) as folder:
        written = _write_splits(folder, plan)
        _check_people([photo for photos in written.values() for photo in photos], plan)
        if contradiction := plan.check.contradiction():
            raise PrepareError(f"{config.landmarks or config.photos}: {contradiction}")
        counts = {split: count_people([photo.person for photo in photos]) for split, photos in written.items()}
        for split, photos in written.items():
            keys = {Face(photo.image, photo.person).key for photo in photos}
            counts[split]["pairs"] = write_pairs_among(split_folder(folder, split) / PAIRS, keys, plan.pairs)
        write_text(folder / PROBLEMS, as_csv(plan.problems))
        passed_over = dict(plan.source.passed_over)
        summary = {"splits": counts, "problems": kinds(plan.problems), "passed_over": passed_over}
        publish(folder, config.out, plan.made_of, summary, [PROBLEMS])
    tell_splits(config.out, counts, plan.labelled, len(plan.pairs) if config.pairs else None)
    tell_problems(config.out, config.landmarks or config.photos, plan.problems, plan.check.listed)


@dataclass(frozen=True)
class _Plan:
    """All that is decided before the first image is decoded."""

    source: Source
    photos: list[Photo]
    records: dict[str, Record]
    split_of: dict[str, str]
    pairs: list[Pair]
    find_landmarks: FindLandmarks
    check: LandmarkCheck
    sizes_px: list[int]
    problems: list[Problem]
    """Grows by what cannot be read."""
    labelled: bool
    made_of: dict[str, Any]


def _plan(config: PrepareConfig) -> _Plan:
    _refuse_people(config)
    shares, sizes_px = parse_shares(config.split), parse_sizes(config.vlr_sizes)
    landmarks = read_any_landmarks(config.landmarks) if config.landmarks else {}
    pattern = UNLABELLED if config.unlabelled else config.identity_pattern
    source = open_source(config.photos, config.format, pattern, made_here(config.out))
    _refuse_to_replace(config, source)
    photos = with_names([(each.name, each.person, dict(each.attributes)) for each in source.records])
    people = {photo.person for photo in photos}
    print(f"{config.photos}: {source.what}")
    told = f"{len(people)} people; whose an image is: {source.rule}" if not config.unlabelled else "nobody known"
    print(f"{len(photos)} images of {told}")
    for note in source.notes:
        print(note)
    if source.passed_over:
        print(f"{config.photos}: {passed_over_words(source.passed_over)}")
    landmarks = named_as(landmarks, [photo.source for photo in photos])
    if config.landmarks and (unknown := names_of_nothing(config.landmarks, landmarks, photos)):
        print(f"{config.landmarks}: {len(unknown)} of {len(landmarks)} names are no photograph, e.g. {unknown[0]!r}")
    pairs = read_pairs(config.pairs) if config.pairs else source.pairs
    folds = {"val": config.val_folds, "test": config.test_folds}
    lists = {"val": config.val_people, "test": config.test_people}
    chosen = choose_people(pairs, folds, lists, people)
    by_name = [split for split, given in (*folds.items(), *lists.items()) if given]
    if not by_name:
        chosen = {composed(record.person): record.split for record in source.records if record.split}
        by_name = sorted(set(chosen.values()))
    problems = excluded(photos, config.exclude)
    photos = without(photos, problems)
    records = {record.name: record for record in source.records}
    hashes, lost = digests(photos, lambda photo: source.read(records[photo.source]))
    problems += [unusable(each.source, each.person, lost[each.source]) for each in photos if each.source in lost]
    images_of = Counter(photo.person for photo in photos)
    split_of = assign(images_of, shares, chosen, config.seed, by_name) if not config.unlabelled else {NOBODY: "train"}
    photos = without(photos, problems)
    problems += duplicates(photos, hashes, split_of, pairs)
    photos = without(photos, problems)
    known = {record.name: record.landmarks for record in source.records if record.landmarks is not None}
    listed = known | landmarks
    check = LandmarkCheck(listed_landmarks(listed), [photo.source for photo in photos if photo.source in listed])
    return _Plan(
        source,
        photos,
        records,
        split_of,
        pairs,
        with_detector(check),
        check,
        sizes_px,
        [*source.problems, *problems],
        not config.unlabelled,
        _made_of(config, shares, sizes_px, hashes, source),
    )


def _refuse_people(config: PrepareConfig) -> None:
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


def _refuse_to_replace(config: PrepareConfig, source: Source) -> None:
    """Refuse to read what the new splits take the place of."""
    lists = [config.photos, config.landmarks, config.pairs, config.val_people, config.test_people, config.exclude]
    replaced = [split_folder(config.out, split) for split in SPLITS] + [config.out / PROBLEMS]
    places = {Path(os.path.realpath(place)): place for place in replaced}
    for path in [*(path for path in lists if path), *source.lists, *source.files]:
        real = Path(os.path.realpath(path))
        place = next((places[place] for place in places if real.is_relative_to(place)), None)
        if place:
            raise PrepareError(f"{path}: stands in {place}, which the new splits replace; choose another --out")


def _made_of(
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
        **{name: sha256_of(path) if path else None for name, path in files.items()},
    }


def _write_splits(folder: Path, plan: _Plan) -> dict[str, list[Photo]]:
    """Write every split that somebody is in; return what could be used."""
    attributes = list(plan.photos[0].attributes) if plan.photos else []
    splits = [split for split in SPLITS if any(plan.split_of[photo.person] == split for photo in plan.photos)]
    written: dict[str, list[Photo]] = {split: [] for split in splits}
    with progress_bar(len(plan.photos), 0, "image", "preparing") as bar, ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                SplitWriter(split_folder(folder, split), plan.sizes_px, attributes, plan.labelled)
            )
            for split in splits
        }
        for photo in plan.photos:  # in the order of the source, which is read fastest so
            split = plan.split_of[photo.person]
            if _write_face(writers[split], photo, plan, bar):
                written[split].append(photo)
    return written


def _write_face(writer: SplitWriter, photo: Photo, plan: _Plan, bar: "tqdm[Any]") -> bool:
    bar.update()
    try:
        data = plan.source.read(plan.records[photo.source])
        face = aligned_face(data, f"{plan.source.path}/{photo.source}", photo, plan.find_landmarks)
    except (ImageError, AlignError) as error:
        plan.problems.append(unusable(photo.source, photo.person, error))
        return False
    writer.add(face, photo.image, photo.person, photo.source, photo.attributes)
    return True


def _check_people(photos: list[Photo], plan: _Plan) -> None:
    """Refuse splits in which nobody can be told from anybody, or nobody is left."""
    if not plan.labelled:
        if not photos:
            raise PrepareError(f"{plan.source.path}: no usable image{why_lost(plan.problems, plan.check.listed)}")
        return
    people = Counter(plan.split_of[person] for person in {photo.person for photo in photos})
    for split in SPLITS:
        if split in plan.split_of.values() and people[split] < FEWEST_PEOPLE:
            raise PrepareError(
                f"{plan.source.path}: {people[split]} people with usable images in {split}, two are needed"
                f"{why_lost(plan.problems, plan.check.listed)}"
            )


main = command(PrepareConfig, prepare, example="python -m dataset prepare PHOTOS --out dataset")

if __name__ == "__main__":
    main()
