"""Who is in which split: by person, so that nobody is in two, and by a seed, so that it can be repeated."""

import hashlib
from collections import Counter
from collections.abc import Collection

from dataset.photographs.layout import SPLITS
from engine.errors import UserError

FEWEST_PEOPLE = 2
"""A split of one person has nobody to tell them from."""


class SplitError(UserError):
    """Shares that are no shares, people named for two splits, or too few people."""


def parse_shares(text: str) -> dict[str, float]:
    """Read shares of train, val and test, such as "80,10,10"; they need not add up to 100.

    Raises:
        SplitError: Not three numbers of 0 or more, or no share for train.
    """
    try:
        shares = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or not all(0 <= share < float("inf") for share in shares) or shares[0] == 0:
        raise SplitError(f"--split {text}: expected shares of train, val and test, train above 0, e.g. 80,10,10")
    return dict(zip(SPLITS, shares, strict=True))


def assign(
    photographs: dict[str, int],
    shares: dict[str, float],
    chosen: dict[str, str],
    seed: int,
    by_name: Collection[str] = (),
) -> dict[str, str]:
    """Give each person a split.

    A split that somebody was chosen for holds those people alone; the others are shared out by chance: those with
    several photographs first and those with one after them, so that every split can have genuine pairs.

    Args:
        photographs: Person to the number of their photographs.
        shares: Share of each split; a split of share 0 gets only those chosen for it.
        chosen: Person to the split they must be in.
        seed: Another seed is another split. The order that it gives to people depends on their names alone.
        by_name: Splits that are filled by name, though nobody may be left of those chosen.

    Returns:
        Person to split.

    Raises:
        SplitError: A split that should have people would have fewer than two.
    """
    split_of = {person: chosen[person] for person in photographs if person in chosen}
    closed = {*split_of.values(), *by_name} - {"train"}
    open_shares = {split: share for split, share in shares.items() if share > 0 and split not in closed}
    others = sorted(photographs.keys() - split_of.keys(), key=lambda person: _place(person, seed))
    for several in (True, False):
        group = [person for person in others if (photographs[person] > 1) == several]
        taken = Counter(split_of[person] for person in others if person in split_of)
        split_of |= _share_out(group, open_shares, taken)
    _check_sizes(Counter(split_of.values()), set(open_shares), closed)
    return split_of


def _place(person: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{person}".encode()).digest()


def _share_out(people: list[str], shares: dict[str, float], taken: Counter[str]) -> dict[str, str]:
    """Cut the list by shares; where people are few, val and test get two each before train gets the rest."""
    if not shares:
        return {}
    total, whole = sum(shares.values()), len(people) + sum(taken.values())
    split_of: dict[str, str] = {}
    rest = list(people)
    for split in ("test", "val"):
        if split in shares:
            wanted = max(round(whole * shares[split] / total), FEWEST_PEOPLE) - taken[split]
            count = max(0, min(wanted, len(rest)))
            split_of |= dict.fromkeys(rest[:count], split)
            rest = rest[count:]
    return split_of | dict.fromkeys(rest, "train")


def _check_sizes(counts: Counter[str], shared: set[str], by_name: set[str]) -> None:
    for split in SPLITS:
        if split in shared | by_name and counts[split] < FEWEST_PEOPLE:
            found = ", ".join(f"{counts[name]} in {name}" for name in SPLITS)
            remedy = "add people, or leave a split out with --split, e.g. 80,20,0"
            if split in by_name:
                remedy = f"mend the list of people, or the folds, that {split} is chosen by"
            raise SplitError(
                f"{sum(counts.values())} people give {found}; each split needs {FEWEST_PEOPLE} or more: {remedy}"
            )
