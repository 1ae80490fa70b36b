"""Which comparisons an evaluation makes: pairs and searches, from the folders by default or from lists."""

import hashlib
import json
import posixpath
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.photographs.pairs import read_pairs
from engine.errors import UserError
from engine.files import write_text
from engine.text import composed, read_lines, read_table
from metrics.comparisons import mean_templates
from metrics.folds import tenths

MISSING_LIST = "missing_images.txt"
_SAME_WORDS = {word: True for word in ("1", "1.0", "true", "t", "yes", "y", "same")} | {
    word: False for word in ("0", "0.0", "-1", "-1.0", "false", "f", "no", "n", "different")
}


class ProtocolError(UserError):
    """A list of comparisons that cannot be used."""


@dataclass(frozen=True)
class PairList:
    """Pairs to compare: the gallery side first, the probe second.

    Attributes:
        rows: (P, 2) row of the gallery face and of the probe.
        same: (P,) whether a pair shows one person.
        folds: (P,) fold of each pair, all 0 where the list has none.
        repeated: How many further copies of a pair the list had; they are dropped.
        source: The file, for the report.
        contradicting: How many pairs say otherwise than the people of the split.
    """

    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    repeated: int
    source: str
    contradicting: int = 0

    @property
    def parts(self) -> NDArray[np.int64]:
        """(P,) which pairs are judged by the threshold of the others: a fold, or a tenth of the only one."""
        return self.folds if len(np.unique(self.folds)) > 1 else tenths(self.same)

    def only(self, kept: NDArray[np.bool_]) -> "PairList":
        """Return some of the pairs, (P,) of them marked."""
        return replace(self, rows=self.rows[kept], same=self.same[kept], folds=self.folds[kept])


@dataclass(frozen=True)
class SearchPlan:
    """Who is enrolled and who searches.

    Attributes:
        gallery: Rows of the enrolled images; several of one person make one template.
        probes: Rows of the searching images.
        note: How they were chosen, in words.
        by_faiss: Search through a FAISS index, checked against the exact search.
    """

    gallery: NDArray[np.int64]
    probes: NDArray[np.int64]
    note: str
    by_faiss: bool = False

    def sha256(self, sets: "ImageSets | None") -> str:
        """Return a hash of who is enrolled and who searches, by which two reports know that they searched alike."""
        named = [self.gallery, self.probes, *([sets.rows, sets.number] if sets is not None else [])]
        return hashlib.sha256(json.dumps([rows.tolist() for rows in named]).encode()).hexdigest()


@dataclass(frozen=True)
class ImageSets:
    """Several images of one person that are compared as one, such as the frames of a video.

    In lists of pairs, galleries and probes they stand by their names, as rows after those of the images.

    Attributes:
        names: (T,) names.
        rows: (M,) rows of the images of all sets.
        number: (M,) which set each is in.
        person: (T,) whose they are.
    """

    names: list[str]
    rows: NDArray[np.int64]
    number: NDArray[np.int64]
    person: NDArray[np.int64]

    def append_to(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N + T, D): the images' (N, D) unit embeddings, then the unit mean of each set."""
        return np.concatenate([embeddings, mean_templates(embeddings[self.rows], self.number)[1]])

    def images(self, rows: NDArray[np.int64], images: int) -> NDArray[np.int64]:
        """Return the rows of images that rows stand for, of which those from `images` on are sets."""
        return np.union1d(rows[rows < images], self.rows[np.isin(self.number, rows - images)])


def read_image_sets(path: Path, keys: list[str], person: NDArray[np.int64], missing_to: Path) -> ImageSets:
    """Read a CSV with the columns set and image.

    Args:
        path: The list.
        keys: Names of the faces that are there.
        person: (N,) whose face each is.
        missing_to: Folder for the list of images that are not.

    Raises:
        ProtocolError: No such file or columns, missing images, a set with images of two people or the name of an image.
    """
    table = [row for _, row in _read_columns(path, ("set", "image"), "sets")]
    rows = _rows_of(path, [row["image"] for row in table], keys, missing_to)
    names, number = np.unique([row["set"] for row in table], return_inverse=True)
    twice = [pair for pair, count in Counter(zip(number.tolist(), rows.tolist(), strict=True)).items() if count > 1]
    if twice:
        name, image = str(names[twice[0][0]]), keys[twice[0][1]]
        raise ProtocolError(f"{path}: set {name!r} names {image!r} twice, which counts double; remove one line")
    first = np.array([rows[number == each][0] for each in range(len(names))])
    other = np.flatnonzero(person[rows] != person[first][number])
    if len(other):
        raise ProtocolError(f"{path}: set {names[number[other[0]]]!r} has images of two people; a set shows one")
    clash = sorted(set(names) & set(keys))
    if clash:
        raise ProtocolError(f"{path}: set {clash[0]!r} has the name of an image; rename it")
    return ImageSets(names.tolist(), rows, number, person[first])


def read_pair_list(path: Path, keys: list[str], missing_to: Path) -> PairList:
    """Read LFW's format (.txt) or a CSV with the columns first, second, same and perhaps fold.

    Args:
        path: The list. Names in a CSV are those below `hr_images`, with or without suffix.
        keys: Names of the faces that are there.
        missing_to: Folder for the list of images that are not.

    Raises:
        ProtocolError: Names of missing images (all are listed in a file), or a line that is no pair.
        PairsError: Not LFW's format.
    """
    if path.suffix.lower() == ".csv":
        entries = _read_csv_pairs(path)
    else:
        entries = [(*pair.keys, pair.same, pair.fold) for pair in read_pairs(path)]
    named = _rows_of(path, [name for entry in entries for name in entry[:2]], keys, missing_to).reshape(-1, 2)
    kept: dict[tuple[int, int], int] = {}
    label: dict[tuple[int, ...], bool] = {}
    for position, (first, second) in enumerate(named.tolist()):
        kept.setdefault((first, second), position)
        if label.setdefault(tuple(sorted((first, second))), entries[position][2]) != entries[position][2]:
            raise ProtocolError(f"{path}: {entries[position][:2]} is listed as one person and as two; mend the list")
    order = list(kept.values())
    return PairList(
        np.array(list(kept), np.int64).reshape(-1, 2),
        np.array([entries[position][2] for position in order], bool),
        np.array([entries[position][3] for position in order], np.int64),
        len(entries) - len(order),
        path.as_posix(),
    )


def read_image_list(path: Path, keys: list[str], missing_to: Path) -> NDArray[np.int64]:
    """Read one image name a line, or the column image of a CSV, and return the rows, each once.

    Raises:
        ProtocolError: An empty list, or names of missing images (all are listed in a file).
    """
    if path.suffix.lower() == ".csv":
        names = [row["image"] for _, row in _read_columns(path, ("image",), "images")]
    else:
        _refuse_no_list(path, "images")
        names = [line.strip() for line in read_lines(path) if line.strip()]
    if not names:
        raise ProtocolError(f"{path}: no image named in it; write one name below hr_images a line")
    rows = list(dict.fromkeys(_rows_of(path, names, keys, missing_to).tolist()))
    if len(rows) < len(names):
        print(f"{path}: {len(names) - len(rows)} of {len(names)} lines name an image again; each counts once")
    return np.array(rows, np.int64)


def refuse_searches_for_themselves(plan: SearchPlan, keys: list[str], sets: ImageSets | None) -> None:
    """Raise `ProtocolError` where an enrolled image searches as well, itself or in a set: it would find itself."""
    shared = _shared(plan.gallery, plan.probes, keys, sets)
    if shared:
        raise ProtocolError(
            f"{plan.note}: {len(shared)} images are enrolled and search as well ({', '.join(shared[:3])}"
            f"{', ...' if len(shared) > 3 else ''}), which flatters; take each out of one list"
        )


def refuse_pairs_with_themselves(listed: PairList, keys: list[str], sets: ImageSets | None) -> None:
    """Raise `ProtocolError` where a pair has one image on both sides, itself or in a set."""
    first, second = listed.rows.T
    for pair in listed.rows[(first == second) | (np.maximum(first, second) >= len(keys))]:
        shared = _shared(pair[:1], pair[1:], keys, sets)
        if shared:
            raise ProtocolError(
                f"{listed.source}: a pair compares {shared[0]!r} with itself, which flatters; take it out of the list"
            )


def _shared(first: NDArray[np.int64], second: NDArray[np.int64], keys: list[str], sets: ImageSets | None) -> list[str]:
    """Return the images that both rows stand for."""
    if sets is not None:
        first, second = sets.images(first, len(keys)), sets.images(second, len(keys))
    return [keys[row] for row in np.intersect1d(first, second)]


def default_search_plan(person: NDArray[np.int64], enrolled_images: int = 1) -> SearchPlan | None:
    """Plan searches from the faces alone.

    A person's first images are enrolled and the others search. People with one image are strangers: they search
    without being enrolled. If there are none, every fifth person is left out of the gallery to play that part.

    Args:
        person: (N,) whose face each is; rows in the order of the names.
        enrolled_images: Most images a template is made of; one image at least is left to search.

    Returns:
        None where nobody has two images.
    """
    people, counts = np.unique(person, return_counts=True)
    several = people[counts > 1]
    if len(several) == 0:
        return None
    strangers, note = people[counts == 1], "people with one image are the non-mated searches"
    if len(strangers) == 0:
        strangers, note = several[4::5], "every fifth person is kept out of the gallery for non-mated searches"
    gallery: list[int] = []
    for name in np.setdiff1d(several, strangers):
        rows = np.flatnonzero(person == name)
        gallery += rows[: min(enrolled_images, len(rows) - 1)].tolist()
    probes = np.setdiff1d(np.arange(len(person)), gallery)
    return SearchPlan(np.array(gallery, np.int64), probes, f"first {enrolled_images} image(s) enrolled; {note}")


def _read_csv_pairs(path: Path) -> list[tuple[str, str, bool, int]]:
    entries = []
    for line, row in _read_columns(path, ("first", "second", "same"), "pairs"):
        same, fold = _SAME_WORDS.get(row["same"].lower()), row.get("fold") or "0"
        if same is None or not fold.isdecimal():
            raise ProtocolError(f"{path}, line {line}: {row} is no pair; same is 1 or 0 (yes, no), fold a number")
        entries.append((row["first"], row["second"], same, int(fold)))
    return entries


def _read_columns(path: Path, needed: tuple[str, ...], what: str) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV, composed, whose needed columns are all filled, each with the number of its line."""
    _refuse_no_list(path, what)
    rows = [
        (line, {name: composed(value.strip()) for name, value in row.items()})
        for line, row in read_table(path, (*needed, "fold"))
    ]
    if not rows:
        raise ProtocolError(f"{path}: nothing below the header, which needs {','.join(needed)}")
    lacking = [name for name in needed if name not in rows[0][1]]
    if lacking:
        raise ProtocolError(f"{path}: no column {lacking[0]!r}; the header needs {','.join(needed)}")
    for line, row in rows:
        if not all(row[name] for name in needed):
            raise ProtocolError(f"{path}, line {line}: {row} lacks a value of {','.join(needed)}")
    return rows


def _refuse_no_list(path: Path, what: str) -> None:
    if not path.exists():
        raise ProtocolError(f"{path}: no such list of {what}; check the path")


def _rows_of(path: Path, names: list[str], keys: list[str], missing_to: Path) -> NDArray[np.int64]:
    row = {_plain(key): number for number, key in enumerate(keys)} | {key: number for number, key in enumerate(keys)}
    _refuse_missing(path, [name for name in names if _row_of(name, row) is None], missing_to)
    return np.array([_row_of(name, row) for name in names], np.int64)


def _row_of(name: str, row: dict[str, int]) -> int | None:
    spellings = (name, name.rpartition(".")[0], _plain(name), _plain(name.rpartition(".")[0]))
    return next((row[spelling] for spelling in spellings if spelling in row), None)


def _plain(name: str) -> str:
    """Return what several systems' spellings of a path share: slashes, composed letters, no folder to start from."""
    return posixpath.normpath(composed(name.replace("\\", "/"))).removeprefix("hr_images/")


def _refuse_missing(path: Path, missing: list[str], folder: Path) -> None:
    if missing:
        unique = list(dict.fromkeys(missing))
        write_text(folder / MISSING_LIST, "\n".join(unique) + "\n")
        raise ProtocolError(
            f"{path}: {len(unique)} images are not among the faces, the first is {unique[0]!r}; "
            f"all are listed in {folder / MISSING_LIST}"
        )
