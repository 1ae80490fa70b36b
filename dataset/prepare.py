"""Align photographs, split them by person, make low-resolution copies and pack them."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset.formats.landmark_lists import named_as, read_any_landmarks
from dataset.formats.recognise import open_source
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
from dataset.photographs.prepared_report import count_people, tell_problems, tell_size, tell_splits
from dataset.photographs.problems import PROBLEMS, Problem, as_csv, kinds, unusable, why_lost
from dataset.photographs.selection import choose_people, duplicates, excluded, without
from dataset.photographs.splits import FEWEST_PEOPLE, assign, parse_shares
from dataset.prepare_config import (
    PrepareConfig,
    PrepareError,
    made_of,
    refuse_people,
    refuse_source,
    refuse_to_replace,
)
from dataset.store_files import Kind
from dataset.store_writer import EncodedWriter, SourceWriter, StoreWriter
from engine.cli import command
from engine.files import write_text
from engine.runlog import progress_bar
from engine.text import composed


def prepare(config: PrepareConfig) -> None:
    """Write the data set that `config` describes."""
    refuse_file(config.out)
    plan = _plan(config)
    if is_prepared(config.out, plan.made_of, config.overwrite):
        print(f"{config.out}: already prepared from these photographs with these settings")
        return
    _check_people(plan.photos, plan)
    tell_size(sum(plan.split_of[photo.person] == "train" for photo in plan.photos), config.store)
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
    store: Kind
    made_of: dict[str, Any]


def _plan(config: PrepareConfig) -> _Plan:
    refuse_people(config)
    shares, sizes_px = parse_shares(config.split), parse_sizes(config.vlr_sizes)
    landmarks = read_any_landmarks(config.landmarks) if config.landmarks else {}
    pattern = UNLABELLED if config.unlabelled else config.identity_pattern
    source = open_source(config.photos, config.format, pattern, made_here(config.out))
    refuse_to_replace(config, source)
    refuse_source(config, source)
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
        config.store,
        made_of(config, shares, sizes_px, hashes, source),
    )


def _write_splits(folder: Path, plan: _Plan) -> dict[str, list[Photo]]:
    """Write every split that somebody is in; return what could be used."""
    attributes = list(plan.photos[0].attributes) if plan.photos else []
    splits = [split for split in SPLITS if any(plan.split_of[photo.person] == split for photo in plan.photos)]
    written: dict[str, list[Photo]] = {split: [] for split in splits}
    with progress_bar(len(plan.photos), 0, "image", "preparing") as bar, ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                SplitWriter(split_folder(folder, split), plan.sizes_px, attributes, _store_writer(folder, split, plan))
            )
            for split in splits
        }
        for photo in plan.photos:  # in the order of the source, which is read fastest so
            split = plan.split_of[photo.person]
            if _write_face(writers[split], photo, plan, bar):
                written[split].append(photo)
    return written


def _store_writer(folder: Path, split: str, plan: _Plan) -> StoreWriter:
    place = split_folder(folder, split)
    if split != "train" or plan.store == "raw":  # people look at the others, and evaluations read them
        return StoreWriter(place, plan.labelled)
    if plan.store == "encoded":
        return EncodedWriter(place, plan.labelled)
    return SourceWriter(place, plan.source.files[0], plan.labelled)


def _write_face(writer: SplitWriter, photo: Photo, plan: _Plan, bar: "tqdm[Any]") -> bool:
    bar.update()
    record = plan.records[photo.source]
    try:
        data = plan.source.read(record)
        face = aligned_face(data, f"{plan.source.path}/{photo.source}", photo, plan.find_landmarks)
    except (ImageError, AlignError) as error:
        plan.problems.append(unusable(photo.source, photo.person, error))
        return False
    writer.add(face, photo.image, photo.person, photo.source, photo.attributes, data, record.place)
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
