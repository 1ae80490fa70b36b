"""Listed pairs against the people of the split: who is on a picture is known, so what a list says can be checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.faces import Split
from pipeline.evaluation.protocols import (
    ImageSets,
    PairList,
    ProtocolError,
    read_pair_list,
    refuse_pairs_with_themselves,
)

_MOST_CONTRADICTING = 1 / 3
"""A list may know better than the folders about a few pictures, not about so many."""
_INVERTED = 0.9


def check_labels(listed: PairList, names: list[str], person: NDArray[np.int64]) -> PairList:
    """Return the list with the number of its pairs that contradict the people; one line is printed if there are any.

    Args:
        listed: The pairs.
        names: (N,) what its rows are called.
        person: (N,) whose they are.

    Raises:
        ProtocolError: The list is inverted, or belongs to other pictures, or has pairs of one kind alone.
    """
    same = person[listed.rows[:, 0]] == person[listed.rows[:, 1]]
    wrong = np.flatnonzero(same != listed.same)
    if len(wrong) == 0:
        return listed
    first, second = (names[row] for row in listed.rows[wrong[0]])
    kinds = ("one person", "two people") if listed.same[wrong[0]] else ("two people", "one person")
    example = f"the first is {first!r} and {second!r}: {kinds[0]} by the list, {kinds[1]} by the split"
    share = len(wrong) / len(same)
    if share > _MOST_CONTRADICTING:
        meant = (
            "the column same is inverted; write 1 for one person and 0 for two"
            if share >= _INVERTED
            else "the list or its labels belong to other pictures; make it anew"
        )
        raise ProtocolError(
            f"{listed.source}: {len(wrong)} of {len(same)} pairs contradict the people of the split, {example}; {meant}"
        )
    print(f"{listed.source}: {len(wrong)} of {len(same)} pairs contradict the people of the split, {example}")
    return replace(listed, contradicting=len(wrong))


def one_kind(listed: PairList) -> str:
    """Say that no threshold can part the pairs, since all are of one kind; "" where they are not."""
    if len(np.unique(listed.same)) == 2:
        return ""
    kind = "show one person" if listed.same.all() else "show two people"
    return f"{listed.source}: all of its {len(listed.same)} pairs {kind}, so that any accuracy can be reached"


def refuse_one_kind(listed: PairList) -> None:
    """Raise `ProtocolError` where `one_kind` says something."""
    if found := one_kind(listed):
        raise ProtocolError(f"{found}; add pairs of the other kind, or take the list away")


def names_in_lists(split: Split, sets: ImageSets | None) -> list[str]:
    """Return what lists may name: images, and sets after them."""
    return [*split.keys, *(sets.names if sets is not None else [])]


def pairs_of(given: Path | None, split: Split, sets: ImageSets | None, missing_to: Path) -> PairList | None:
    """Return the pairs to judge: of a list, or of that which stands in the split; None where there is none.

    Args:
        given: The list; a list of one kind of pairs is refused, where it is the split's own it is left out.
        split: Whose images it names.
        sets: Sets of images that it may name.
        missing_to: Folder for the list of images that are not there.

    Raises:
        ProtocolError: As `check_labels` and `read_pair_list`, or a pair of an image with itself.
    """
    beside = (split.root / name for name in ("pairs.txt", "pairs.csv"))
    path = given or next((path for path in beside if path.is_file()), None)
    if path is None:
        return None
    names, person = names_in_lists(split, sets), [split.person, *([sets.person] if sets is not None else [])]
    listed = read_pair_list(path, names, missing_to)
    refuse_pairs_with_themselves(listed, split.keys, sets)
    if given is None and one_kind(listed):
        print(f"{one_kind(listed)}; they are left out")
        return None
    refuse_one_kind(listed)
    return check_labels(listed, names, np.concatenate(person))
