"""IJB-C and IJB-B, verification of templates: sets of stills and video frames.

    loose_crop/1.jpg                            faces with a margin
    meta/ijbc_name_5pts_score.txt               a face a line: name, ten numbers (x y of five points), detector's score
    meta/ijbc_face_tid_mid.txt                  likewise: name, number of the template, number of the medium
    meta/ijbc_template_pair_label.txt           two templates and 1 or 0

Faces are aligned by the listed points. The faces of a medium are averaged, weighted by the detector's score, the media
of a template summed; TAR at FAR 1e-1 to 1e-6. (Maze et al., "IARPA Janus Benchmark-C", ICB 2018; the files are those
that InsightFace passes on, read as its `recognition/_evaluation_/ijb/ijb_11.py` describes. That also weighs faces by
the length of their embeddings; those of EdgeFace have length 1 here.)
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.formats.source import FormatError
from engine.text import read_lines
from pipeline.published.pair_trials import TemplateTrial
from pipeline.published.published_set import (
    PublishedSet,
    PublishedSetError,
    folder_below,
    key_of,
    reader_of,
    unlike_published,
)

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PUBLISHED = {"ijbc": (469_375, 15_658_489), "ijbb": (227_630, 8_010_270)}
"""Faces and pairs."""


def open_ijbc(root: Path) -> PublishedSet:
    """Read IJB-C's folder, or IJB-B's.

    Raises:
        PublishedSetError: A folder, list or image is not there, or the lists do not fit each other.
        FormatError: A line that is not of its list.
        TextError: A list that is no text.
    """
    meta, crops = folder_below(root, "meta"), folder_below(root, "loose_crop")
    of_faces, of_templates, of_pairs = (
        _only(meta, ending) for ending in ("_name_5pts_score.txt", "_face_tid_mid.txt", "_template_pair_label.txt")
    )
    names, numbers = _table(of_faces, 11)
    again, places = _table(of_templates, 2)
    if names != again:
        raise PublishedSetError(f"{of_templates}: its names are not those of {of_faces.name}; take both of one set")
    template, media = _whole(of_templates, places).T
    pairs = _whole(of_pairs, _numbers(of_pairs, 3))
    unknown = np.setdiff1d(pairs[:, :2], template)
    if len(unknown) or not np.isin(pairs[:, 2], (0, 1)).all():
        what = f"template {unknown[0]} has no face" if len(unknown) else "a label is neither 1 nor 0"
        raise PublishedSetError(f"{of_pairs}: {what}; take lists of one set")
    same = pairs[:, 2] == 1
    trial = TemplateTrial(
        f"Pairs: {len(pairs):,} of {len(np.unique(template)):,} templates, {int(same.sum()):,} of one person",
        template,
        media,
        numbers[:, 10].astype(np.float32),
        pairs[:, :2],
        same,
        FARS,
    )
    kind = of_faces.name.partition("_")[0].lower()
    faces, count = _PUBLISHED.get(kind, (len(names), len(pairs)))
    notes = unlike_published({"faces": (faces, len(names)), "pairs of templates": (count, len(pairs))})
    return PublishedSet(
        f"{crops.parent.name}, templates",
        names,
        reader_of(crops, names),
        key_of(crops, names),
        [trial],
        landmarks=numbers[:, :10].reshape(-1, 5, 2),
        notes=notes,
    )


def _only(meta: Path, ending: str) -> Path:
    found = sorted(meta.glob(f"*{ending}"))
    if len(found) != 1:
        raise PublishedSetError(f"{meta}: {len(found)} files named *{ending}; one is expected")
    return found[0]


def _table(path: Path, count: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return the name and the (N, count) numbers of each line."""
    rows = [line.split() for line in read_lines(path)]
    if not rows:
        raise FormatError(f"{path}: an empty list; copy it again")
    for number, row in enumerate(rows, 1):
        if len(row) != count + 1:
            raise FormatError(f"{path}, line {number}: {' '.join(row)[:60]!r} is no name and {count} numbers")
    try:
        return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float64)
    except ValueError as error:
        raise FormatError(f"{path}: {error}; {count} numbers are expected behind each name") from None


def _numbers(path: Path, count: int) -> NDArray[np.float64]:
    """Return the (N, count) numbers of a large list, which has no names."""
    if path.stat().st_size == 0:
        raise FormatError(f"{path}: an empty list; copy it again")
    try:
        found = np.loadtxt(path, np.float64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: {' '.join(str(error).split())}; {count} numbers a line are expected") from None
    if found.shape[1] != count:
        raise FormatError(f"{path}: {found.shape[1]} numbers a line, {count} are expected")
    return found


def _whole(path: Path, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    whole = numbers.astype(np.int64)
    if not np.array_equal(whole, numbers):
        raise FormatError(f"{path}: a number of a template or medium is no whole number")
    return whole
