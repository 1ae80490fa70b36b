"""Which comparisons an evaluation makes: pairs and searches, from the folders by default or from lists."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.pairs import read_pairs
from engine.errors import UserError
from engine.files import write_text

MISSING_LIST = "missing_images.txt"
_SAME_WORDS = {"1": True, "true": True, "yes": True, "same": True, "0": False, "false": False, "no": False}


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
    """

    rows: NDArray[np.int64]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    repeated: int
    source: str


@dataclass(frozen=True)
class SearchPlan:
    """Who is enrolled and who searches.

    Attributes:
        gallery: Rows of the enrolled images; several of one person make one template.
        probes: Rows of the searching images.
        note: How they were chosen, in words.
    """

    gallery: NDArray[np.int64]
    probes: NDArray[np.int64]
    note: str


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
    row = {key: number for number, key in enumerate(keys)}
    first = [_row_of(name, row) for name, _, _, _ in entries]
    second = [_row_of(name, row) for _, name, _, _ in entries]
    names = [name for entry in entries for name in entry[:2]]
    _refuse_missing(path, [name for name in names if _row_of(name, row) is None], missing_to)
    kept: dict[tuple[int, int], int] = {}
    for position, pair in enumerate(zip(first, second, strict=True)):
        kept.setdefault((int(pair[0] or 0), int(pair[1] or 0)), position)
    order = list(kept.values())
    return PairList(
        np.array(list(kept), np.int64).reshape(-1, 2),
        np.array([entries[position][2] for position in order], bool),
        np.array([entries[position][3] for position in order], np.int64),
        len(entries) - len(order),
        path.as_posix(),
    )


def read_image_list(path: Path, keys: list[str], missing_to: Path) -> NDArray[np.int64]:
    """Read one image name a line and return the rows, each once.

    Raises:
        ProtocolError: An empty list, or names of missing images (all are listed in a file).
    """
    if not path.is_file():
        raise ProtocolError(f"{path}: no such list of images; check the path")
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not names:
        raise ProtocolError(f"{path}: no image named in it; write one name below hr_images a line")
    row = {key: number for number, key in enumerate(keys)}
    _refuse_missing(path, [name for name in names if _row_of(name, row) is None], missing_to)
    return np.array(list(dict.fromkeys(_row_of(name, row) for name in names)), np.int64)


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
    if not path.is_file():
        raise ProtocolError(f"{path}: no such list of pairs; check the path")
    entries = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        lacking = {"first", "second", "same"} - set(table.fieldnames or [])
        if lacking:
            raise ProtocolError(f"{path}: no column {sorted(lacking)[0]!r}; the header needs first,second,same[,fold]")
        for number, line in enumerate(table, 2):
            same, fold = _SAME_WORDS.get((line["same"] or "").strip().lower()), (line.get("fold") or "0").strip()
            if same is None or not line["first"] or not line["second"] or not fold.isdigit():
                raise ProtocolError(f"{path}, line {number}: {dict(line)} is no pair; same is 1 or 0, fold a number")
            entries.append((line["first"], line["second"], same, int(fold)))
    if not entries:
        raise ProtocolError(f"{path}: no pairs below the header")
    return entries


def _row_of(name: str, row: dict[str, int]) -> int | None:
    return row.get(name, row.get(name.rpartition(".")[0]))


def _refuse_missing(path: Path, missing: list[str], folder: Path) -> None:
    if missing:
        unique = list(dict.fromkeys(missing))
        write_text(folder / MISSING_LIST, "\n".join(unique) + "\n")
        raise ProtocolError(
            f"{path}: {len(unique)} images are not among the faces, the first is {unique[0]!r}; "
            f"all are listed in {folder / MISSING_LIST}"
        )
