"""Whose face: a person or "unknown", how sure, and how far ahead of the next; in words and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.recognition.template_search import TemplateIndex


@dataclass(frozen=True)
class Answer:
    """What a search says.

    Attributes:
        person: The name, or None for unknown.
        nearest: The most alike person, also when below the threshold; None in an empty gallery.
        score: Cosine similarity to the nearest.
        threshold: What the score had to reach.
        second: The next person.
        margin: How far the nearest is ahead of the second; None if there is no second.
    """

    person: str | None
    nearest: str | None
    score: float | None
    threshold: float
    second: str | None = None
    margin: float | None = None

    def words(self) -> str:
        """Return the answer as one sentence."""
        if self.nearest is None or self.score is None:
            return "unknown (the gallery is empty)"
        if self.person is None:
            return f"unknown (nearest {self.nearest}, {self.score:.3f}, below the threshold {self.threshold:.3f})"
        ahead = "" if self.margin is None else f", {self.margin:.3f} ahead of {self.second}"
        return f"{self.person}, {self.score:.3f}, above the threshold {self.threshold:.3f}{ahead}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


class Identifier:
    """Searches enrolled people.

    Args:
        people: Their names.
        templates: (P, 512) of unit length, one a person.
        threshold: Lowest score that names a person.
    """

    def __init__(self, people: list[str], templates: NDArray[np.float32], threshold: float) -> None:
        self.people = people
        self.threshold = threshold
        self._index = TemplateIndex(templates)

    def answer(self, embedding: NDArray[np.float32], threshold: float | None = None) -> Answer:
        """Say whose (512,) unit embedding this is. A score equal to the threshold is accepted.

        Args:
            embedding: (512,) of unit length.
            threshold: For this face alone; None is that of every face.
        """
        threshold = self.threshold if threshold is None else threshold
        rows, scores = self._index.best(embedding, 2)
        if len(rows) == 0:
            return Answer(None, None, None, threshold)
        nearest, score = self.people[rows[0]], float(scores[0])
        second = self.people[rows[1]] if len(rows) > 1 else None
        margin = score - float(scores[1]) if len(rows) > 1 else None
        return Answer(nearest if score >= threshold else None, nearest, score, threshold, second, margin)
