"""Lists of image pairs in LFW's format: which two photographs to compare, and whether they show one person.

The first line holds the number of folds and of pairs per fold and kind, `8<TAB>300`; then follow, fold by fold, the
matched pairs `name<TAB>n1<TAB>n2` and the mismatched `name1<TAB>n1<TAB>name2<TAB>n2`. Photograph n of a person is
`name/name_000n`. Where folds differ in size, the first line is `8<TAB>*`, and a fold ends where a matched pair follows
a mismatched one. Such a list cannot say where a fold of one kind ends; then the pairs stand in a CSV. (Huang et al.,
Labeled Faces in the Wild, 2007: http://vis-www.cs.umass.edu/lfw/README.txt)
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UserError
from engine.files import write_text
from engine.text import composed, read_lines


class PairsError(UserError):
    """A file that is no list of pairs."""


@dataclass(frozen=True)
class Pair:
    """Two photographs to compare."""

    first: tuple[str, int]
    """Person, composed, and number of the photograph, from 1."""
    second: tuple[str, int]
    fold: int
    """Fold, from 1."""

    @property
    def same(self) -> bool:
        """Whether both show one person."""
        return self.first[0] == self.second[0]

    @property
    def people(self) -> set[str]:
        """The one or two people."""
        return {self.first[0], self.second[0]}

    @property
    def keys(self) -> tuple[str, str]:
        """Both images as `dataset.photographs.layout.Face.key` gives them."""
        first, second = (f"{name}/{name}_{number:04d}" for name, number in (self.first, self.second))
        return first, second


def read_pairs(path: Path) -> list[Pair]:
    """Read a list of pairs.

    Raises:
        PairsError: The file is missing, or a line is not of the format.
        TextError: It is no text.
    """
    if not path.is_file():
        raise PairsError(f"{path}: no such list of pairs; check the path")
    lines = [composed(line) for line in read_lines(path)]
    folds, size = _read_first_line(path, lines)
    pairs: list[Pair] = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            first, second = _read_pair(path, number, line)
            pairs.append(Pair(first, second, _fold_of(pairs, first[0] == second[0], size)))
    if size and len(pairs) != 2 * size * folds:
        raise PairsError(f"{path}: {len(pairs)} pairs, its first line announces {2 * size * folds}; copy it again")
    if not size and pairs[-1:] and pairs[-1].fold != folds:
        raise PairsError(
            f"{path}: {pairs[-1].fold} folds of matched, then mismatched pairs, its first line announces {folds}; "
            "prepare the split again with --overwrite, or write a CSV (first,second,same,fold)"
        )
    return pairs


def write_pairs(path: Path, pairs: list[Pair]) -> None:
    """Write pairs, fold by fold, matched before mismatched; the folds are numbered anew from 1."""
    ordered = sorted(pairs, key=lambda pair: (pair.fold, not pair.same))
    counts = Counter((pair.fold, pair.same) for pair in pairs)
    folds = {pair.fold for pair in pairs}
    regular = len(set(counts.values())) == 1 and len(counts) == 2 * len(folds)
    lines = [f"{len(folds)}\t{next(iter(counts.values())) if regular else '*'}"]
    for pair in ordered:
        second = [str(pair.second[1])] if pair.same else [pair.second[0], str(pair.second[1])]
        lines.append("\t".join([pair.first[0], str(pair.first[1]), *second]))
    write_text(path, "\n".join(lines) + "\n")


def write_kept_pairs(path: Path, pairs: list[Pair]) -> None:
    """Write pairs as `write_pairs` does; where a fold lacks a kind, as a CSV (first,second,same,fold) beside `path`.

    Folds keep their numbers in the CSV. A file of the other kind that stands there is removed.
    """
    table = path.with_suffix(".csv")
    if len({(pair.fold, pair.same) for pair in pairs}) == 2 * len({pair.fold for pair in pairs}):
        write_pairs(path, pairs)
        table.unlink(missing_ok=True)
        return
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["first", "second", "same", "fold"])
    rows.writerows([*pair.keys, int(pair.same), pair.fold] for pair in pairs)
    write_text(table, text.getvalue())
    path.unlink(missing_ok=True)


def write_pairs_among(path: Path, keys: set[str], pairs: list[Pair]) -> int:
    """Write the pairs whose images are both among these, by `Face.key`, as `write_kept_pairs` does; return how many."""
    kept = [pair for pair in pairs if keys.issuperset(pair.keys)]
    if kept:
        write_kept_pairs(path, kept)
    return len(kept)


def _fold_of(before: list[Pair], same: bool, size: int | None) -> int:
    if size:
        return len(before) // (2 * size) + 1
    if not before:
        return 1
    return before[-1].fold + int(same and not before[-1].same)


def _read_first_line(path: Path, lines: list[str]) -> tuple[int, int | None]:
    """Return the number of folds and the pairs per fold and kind; None where that varies."""
    words = lines[0].split() if lines else []
    try:
        if len(words) == 1:  # LFW's development lists: one fold
            return 1, int(words[0])
        folds, size = words
        return int(folds), None if size == "*" else int(size)
    except ValueError:
        found = lines[0][:40] if lines else "an empty file"
        raise PairsError(
            f"{path}: first line {found!r}, expected folds and pairs per fold, as in '10<TAB>300'"
        ) from None


def _read_pair(path: Path, number: int, line: str) -> tuple[tuple[str, int], tuple[str, int]]:
    fields = line.rstrip().split("\t") if "\t" in line else line.split()
    try:
        if len(fields) == 3:
            return (fields[0], int(fields[1])), (fields[0], int(fields[2]))
        name, first, other, second = fields
        return (name, int(first)), (other, int(second))
    except ValueError:
        raise PairsError(
            f"{path}, line {number}: {line[:60]!r} is no pair; expected 'name 1 2' or 'name 1 other 2'"
        ) from None
