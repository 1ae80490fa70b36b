"""What several frames of one person are worth over one: fused in every way, at each size and with sizes mixed.

A probe is some of the images of a set, seen at low resolution; it is compared with every enrolled person. One frame,
the first of the same ones, stands beside each, so that a gain is of the same people and the same enrolled images.
Photographs of a set differ more than the frames of a video would: what they gain is the most that frames can.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.bootstrap import IdentityBootstrap, Weights, draw_people, rate_interval
from metrics.comparisons import mean_templates
from metrics.differences import paired_difference
from metrics.verification import sort_both, tar_at_far
from pipeline.evaluation.cells import Cell
from pipeline.evaluation.centring import Centres
from pipeline.evaluation.faces import HR_PX, NATIVE_PX, EvaluationDataError, Split
from pipeline.evaluation.fusing import OF_ONE, Seen, Way, ways_of
from pipeline.evaluation.measures import Json, number_or_none
from pipeline.evaluation.protocols import ImageSets
from pipeline.evaluation.systems import System

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

AUTO, MIXED = "auto", "mixed"
FRAMES = (1, 2, 5, 8, 16)
FARS = (1e-2, 1e-3)
MOST_PEOPLE = 1000
"""People enrolled: every probe is compared with each, so that scores grow with their square."""

_DRAWS = 2  # probes made of each set


@dataclass(frozen=True)
class Enrolled:
    """Templates.

    Attributes:
        templates: (P, D), one a person.
        sets: Column of the person and (M,) readable images of each set of somebody enrolled.
    """

    templates: Floats
    sets: list[tuple[int, Rows]]


def measure_frames(
    system: System,
    embeddings: dict[Cell, Floats],
    person: Rows,
    sets: ImageSets,
    replicates: int = 0,
    seed: int = 0,
    centres: Centres | None = None,
) -> list[Json]:
    """Measure every way of fusing.

    Args:
        system: What embeds them.
        embeddings: (N, D) of all images in each cell: of the system at each size, and of what enrols for it.
        person: (N,) whose face each image shows.
        sets: What is seen together; images in no set are enrolled, of people who have a set and of others.
        replicates: Draws of people for the intervals; 0: none.
        seed: Of the draws.
        centres: Measured on other people; with them, frames are fused without and with.

    Returns:
        A row for each size (and for all mixed), number of frames and way. Images that cannot be read are left out.
    """
    by_size = {size: values for (key, size), values in embeddings.items() if key == system.key and size != NATIVE_PX}
    readable = ~np.any([np.isnan(values[:, 0]) for values in by_size.values()], axis=0)
    enrolled = _enrol(embeddings[system.gallery, HR_PX], person, sets, readable)
    weights = draw_people(len(enrolled.templates), replicates, seed) if replicates else None
    rows: list[Json] = []
    for count in FRAMES:
        drawn = [
            (column, np.random.default_rng([number, count, draw]).permutation(images)[:count])
            for number, (column, images) in enumerate(enrolled.sets)
            for draw in range(_DRAWS)
            if len(images) >= count
        ]
        if not drawn:
            break
        own, images = np.array([column for column, _ in drawn]), np.stack([images for _, images in drawn])
        for sizes in [*((size,) for size in by_size), *([tuple(by_size)] if len(by_size) > 1 else [])]:
            rows += _measure(_see(images, sizes, by_size), own, enrolled.templates, weights, ways_of(centres))
    return [{"system": system.key, **row} for row in rows]


def _enrol(gallery: Floats, person: Rows, sets: ImageSets, readable: NDArray[np.bool_]) -> Enrolled:
    """Enrol the images in no set of at most `MOST_PEOPLE` people, of those who have a set first."""
    outside = np.setdiff1d(np.arange(len(person)), sets.rows)
    people, templates = mean_templates(gallery[outside], person[outside])
    able = np.random.default_rng(0).permutation(np.flatnonzero(~np.isnan(templates[:, 0])))
    without = ~np.isin(people[able], sets.person)
    kept = np.sort(able[np.argsort(without, kind="stable")[:MOST_PEOPLE]])
    column = {whose: number for number, whose in enumerate(people[kept].tolist())}
    order = np.argsort(sets.number, kind="stable")
    ends = np.cumsum(np.bincount(sets.number, minlength=len(sets.person)))[:-1]
    images = [rows[readable[rows]] for rows in np.split(sets.rows[order], ends)]
    found = zip(sets.person.tolist(), images, strict=True)
    return Enrolled(templates[kept], [(column[whose], rows) for whose, rows in found if whose in column])


def _see(images: Rows, sizes: tuple[int, ...], by_size: dict[int, Floats]) -> Seen:
    """Return (S, K) images each at one of the sizes, drawn at random."""
    at = np.random.default_rng(images.shape[1]).integers(0, len(sizes), images.shape)
    frames = np.empty((*images.shape, by_size[sizes[0]].shape[1]), np.float32)
    for number, size in enumerate(sizes):
        frames[at == number] = by_size[size][images[at == number]]
    return Seen(frames, np.array(sizes)[at])


def _measure(seen: Seen, own: Rows, templates: Floats, weights: Weights | None, ways: dict[str, Way]) -> list[Json]:
    """Measure every way on the same frames; `own` (S,) is the column of each probe's person."""
    sizes, count = np.unique(seen.sizes_px), seen.frames.shape[1]
    rows: list[Json] = []
    first: tuple[Json, NDArray[np.float64]] | None = None
    for way, score in ways.items():
        if count == 1 and way not in OF_ONE:
            continue
        figures, replicas = _figures(*score(seen, templates), own, weights)
        first = first or (figures, replicas)
        rows.append(
            {
                "size": MIXED if len(sizes) > 1 else int(sizes[0]),
                "frames": count,
                "way": way,
                "probes": len(own),
                "people": len(np.unique(own)),
                **figures,
                "gain": _gain(figures, first[0], replicas, first[1]) if len(rows) else None,
            }
        )
    return rows


def _figures(verify: Floats, rank: Floats, own: Rows, weights: Weights | None) -> tuple[Json, NDArray[np.float64]]:
    """Return the figures of (S, P) scores, and the replicates of the TAR at the first FAR: none without weights."""
    lines = np.arange(len(own))
    others = np.ones(verify.shape, bool)
    others[lines, own] = False
    genuine, impostor = verify[lines, own], verify[others]
    ascending = sort_both(genuine, impostor)
    right = (rank >= rank[lines, own][:, None]).sum(1) == 1  # who ties with the person is not told apart
    figures: Json = {"rank1": float(right.mean()), "rank1_interval": None}
    figures["tar"] = [
        number_or_none({"target_far": far, "tar": tar_at_far(*ascending, far).tar, "interval": None}) for far in FARS
    ]
    if weights is None:
        return figures, np.empty(0)
    probe, column = np.nonzero(others)
    replicas = IdentityBootstrap(genuine, own, impostor, np.stack([own[probe], column], 1), weights)
    people = weights.shape[1]
    with np.errstate(invalid="ignore"):
        ranks = (weights @ np.bincount(own, right, people)) / (weights @ np.bincount(own, minlength=people))
    figures["rank1_interval"] = rate_interval(figures["rank1"], ranks, replicas.mated)
    tars = [replicas.tar_at_far(far) for far in FARS]
    for entry, values in zip(figures["tar"], tars, strict=True):
        if entry["tar"] is not None:
            entry["interval"] = rate_interval(entry["tar"], values, replicas.mated)
    return figures, tars[0]


def _gain(figures: Json, reference: Json, replicas: NDArray[np.float64], others: NDArray[np.float64]) -> Json | None:
    """Return by how much the TAR at the first FAR is higher, with an interval where there are replicates."""
    value, other = figures["tar"][0]["tar"], reference["tar"][0]["tar"]
    if value is None or other is None:
        return None
    paired = paired_difference(value, other, replicas, others)
    return {"difference": value - other, "interval": paired["interval"] if paired else None}


def seen_together(source: str, split: Split, named: ImageSets | None, listed: bool) -> ImageSets | None:
    """Return the sets whose images are frames.

    Args:
        source: What `--sets` gave.
        split: The faces.
        named: The sets read from it; None for `AUTO`: all images of a person but the first.
        listed: Whether lists may have another use for them.

    Returns:
        None where only lists can use them.

    Raises:
        EvaluationDataError: Neither can.
    """
    sets = named or sets_of(split.person, split.people)
    if np.isin(sets.person, np.delete(split.person, sets.rows)).any():
        return sets
    if listed:
        return None
    raise EvaluationDataError(
        f"--sets {source}: nobody who has a set has an image in none, to be compared with, and no list names sets; "
        "leave an image of each person out of the sets, or give --gallery and --probes, or --pairs"
    )


def sets_of(person: Rows, people: list[str]) -> ImageSets:
    """Return one set a person: all images, (N,) of `people`, but the first, which stays to be enrolled."""
    first = np.unique(person, return_index=True)[1]
    rows = np.setdiff1d(np.arange(len(person)), first)
    whose, number = np.unique(person[rows], return_inverse=True)
    return ImageSets([people[each] for each in whose], rows, number, whose)
