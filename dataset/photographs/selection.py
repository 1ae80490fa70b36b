"""Which photographs and people take part: lists by name, folds of a pair list, copies of one file."""

from collections import defaultdict
from pathlib import Path

from dataset.photographs.intake import Photo
from dataset.photographs.layout import Face
from dataset.photographs.pairs import Pair
from dataset.photographs.problems import Problem
from engine.errors import UserError
from engine.text import composed, read_lines


class SelectionError(UserError):
    """A list of people that is missing, contradicts another, or names nobody."""


def read_names(path: Path | None) -> list[str]:
    """Return the lines of a text file, composed, without blank ones; no file, no lines.

    Raises:
        SelectionError: The file is missing or empty.
        TextError: It is no text.
    """
    if path is None:
        return []
    if not path.is_file():
        raise SelectionError(f"{path}: no such list; expected a text file, one name a line")
    names = [composed(line.strip()) for line in read_lines(path) if line.strip()]
    if not names:
        raise SelectionError(f"{path}: no names in it; expected one a line")
    return names


def choose_people(
    pairs: list[Pair], folds: dict[str, str], lists: dict[str, Path | None], known: set[str]
) -> dict[str, str]:
    """Say which people must be in which split.

    Args:
        pairs: Pair list that folds refer to.
        folds: Split to numbers of folds, such as "7,8"; empty for none.
        lists: Split to a text file of people.
        known: All people there are, composed; pairs may name others, text files may not.

    Raises:
        SelectionError: A fold or a person that does not exist, or a person chosen for two splits.
    """
    chosen: dict[str, str] = {}
    for split in ("val", "test"):
        named = {person for pair in _of_folds(pairs, split, folds[split]) for person in pair.people} & known
        for person in read_names(lists[split]):
            if person not in known:
                raise SelectionError(f"{lists[split]}: {person!r} is no person of these photographs; mend the line")
            named.add(person)
        for person in sorted(named):
            if chosen.setdefault(person, split) != split:
                raise SelectionError(f"{person!r} is chosen for {chosen[person]} and for {split}; choose one")
    return chosen


def excluded(photos: list[Photo], path: Path | None) -> list[Problem]:
    """Return the photographs that a text file names, by person or by path.

    Raises:
        SelectionError: A line that names neither.
    """
    names = read_names(path)
    unknown = set(names) - {photo.person for photo in photos} - {composed(photo.source) for photo in photos}
    if unknown:
        raise SelectionError(f"{path}: {min(unknown)!r} is no person and no image of these photographs; mend the line")
    out = set(names)
    return [
        Problem(photo.source, photo.person, "excluded", f"named in {path}")
        for photo in photos
        if photo.person in out or composed(photo.source) in out
    ]


def duplicates(
    photos: list[Photo], hashes: dict[str, str], split_of: dict[str, str], pairs: list[Pair]
) -> list[Problem]:
    """Return the photographs to leave out because another has the same bytes.

    Copies in val and test that a pair names stay, since a protocol with holes is another protocol. Else, of one
    person's copies the first stays, and none of a file that stands under two people, where one label is wrong.

    Args:
        photos: All photographs.
        hashes: Source to hash of the bytes.
        split_of: Person to split.
        pairs: The pair list.
    """
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[hashes[photo.source]].append(photo)
    needed = {key for pair in pairs for key in pair.keys}
    found = []
    for copies in groups.values():
        one_person = len({photo.person for photo in copies}) == 1
        in_pairs = [
            photo
            for photo in copies
            if Face(photo.image, photo.person).key in needed and split_of[photo.person] != "train"
        ]
        kept = in_pairs or (copies[:1] if one_person else [])
        for photo in (each for each in copies if each not in kept):
            other = next(each for each in [*kept, *copies] if each is not photo)
            meant = "" if one_person else ", which is said to show another person"
            found.append(Problem(photo.source, photo.person, "duplicate", f"same file as {other.source}{meant}"))
    return found


def without(photos: list[Photo], problems: list[Problem]) -> list[Photo]:
    """Return the photographs that have no problem."""
    out = {problem.image for problem in problems}
    return [photo for photo in photos if photo.source not in out]


def _of_folds(pairs: list[Pair], split: str, text: str) -> list[Pair]:
    words = text.replace(",", " ").split()
    present = sorted({pair.fold for pair in pairs})
    if words and not pairs:
        raise SelectionError(f"--{split}-folds {text}: folds of which list? add --pairs FILE")
    numbers = {int(word) if word.isascii() and word.isdigit() else 0 for word in words}
    if not numbers <= set(present):
        raise SelectionError(f"--{split}-folds {text}: the list of pairs has the folds {present[0]} to {present[-1]}")
    return [pair for pair in pairs if pair.fold in numbers]
