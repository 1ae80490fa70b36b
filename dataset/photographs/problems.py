"""Photographs that are not as they should be: what is listed of each, and what all of them together say."""

import csv
import io
from collections import Counter
from dataclasses import dataclass

from dataset.photographs.align import OutsideError

PROBLEMS = "problems.csv"
"""The list, beside the splits."""


@dataclass(frozen=True)
class Problem:
    """A photograph that is not as it should be, and what was done about it."""

    image: str
    person: str
    problem: str
    """"excluded", "duplicate", "unusable", or "misplaced": by landmarks that lie outside the picture."""
    detail: str


def unusable(image: str, person: str, why: Exception | str) -> Problem:
    """Return a photograph that cannot be used, or cannot be by its landmarks."""
    return Problem(image, person, "misplaced" if isinstance(why, OutsideError) else "unusable", str(why))


def kinds(problems: list[Problem]) -> dict[str, int]:
    """Return how many problems there are of each kind."""
    return dict(Counter(problem.problem for problem in problems))


def as_csv(problems: list[Problem]) -> str:
    """Return the list of problems as CSV with a heading."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "person", "problem", "detail"])
    rows.writerows([problem.image, problem.person, problem.problem, problem.detail] for problem in problems)
    return text.getvalue()


def of_another_version(problems: list[Problem], listed: int) -> str:
    """Say so where the landmarks of most photographs lie outside them.

    Args:
        problems: Of all photographs.
        listed: Of how many photographs landmarks are listed.

    Returns:
        A sentence, or nothing.
    """
    misplaced = kinds(problems).get("misplaced", 0)
    if misplaced * 2 <= listed:
        return ""
    return (
        f"the landmarks of {misplaced} of {listed} photographs lie outside the picture: their list belongs to another "
        "version of the pictures, larger or cut otherwise; give the list of this one"
    )


def why_lost(problems: list[Problem], listed: int) -> str:
    """Say what the photographs were lost to, as the end of a sentence; arguments as above."""
    if version := of_another_version(problems, listed):
        return f"; {version}"
    lost = [problem for problem in problems if problem.problem in ("unusable", "misplaced")]
    if lost:
        return f"; {len(lost)} images could not be used, the first: {lost[0].detail}"
    copies = [problem for problem in problems if problem.problem != "excluded"]
    return f"; {len(copies)} images are duplicates, the first: {copies[0].image}, {copies[0].detail}" if copies else ""
