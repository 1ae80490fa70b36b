"""What a fine-tuned network must not lose: the gates that each validation passes or ends at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

Figures = dict[str, Any]


@dataclass(frozen=True)
class Gates:
    """Limits of a fine-tuning; beyond one of them the space has changed or collapsed."""

    max_hr_drop: float
    """Accuracy lost at full size, percentage points."""
    max_impostor_mean: float
    """Mean similarity of impostors, at any size."""
    min_rank_share: float
    """Effective rank, as a share of the original's."""
    min_uniformity_share: float
    """Uniformity, as a share of the original's."""
    max_overlap: float
    """Rise of the equal error rate at full size: how far genuine and impostor scores overlap."""

    def violated(self, before: Figures, measured: Figures) -> str | None:
        """Return which limit is broken, with figure and flag, or None.

        Args:
            before: Figures of the original, as `measured`.
            measured: "hr", "bicubic" and, with a super-resolver, "dsr": figures by size; "effective_rank",
                "uniformity".
        """
        return next(self._violations(before, measured), None)

    def _violations(self, before: Figures, measured: Figures) -> Iterator[str]:
        drop = 100 * (before["hr"]["accuracy"] - measured["hr"]["accuracy"])
        if drop > self.max_hr_drop:
            yield f"accuracy lost at full size is {drop:.3f} points, limit {self.max_hr_drop} (--max-hr-drop)"
        impostor = max(figures["impostor_mean"] for figures in [*shown(measured).values(), measured["hr"]])
        if impostor > self.max_impostor_mean:
            limit = self.max_impostor_mean
            yield f"mean impostor similarity is {impostor:.3f}, limit {limit} (--max-impostor-mean)"
        share = measured["effective_rank"] / before["effective_rank"]
        if share < self.min_rank_share:
            yield f"effective rank share is {share:.3f}, limit {self.min_rank_share} (--min-rank-share)"
        share = measured["uniformity"] / before["uniformity"]
        if share < self.min_uniformity_share:
            yield f"uniformity share is {share:.3f}, limit {self.min_uniformity_share} (--min-uniformity-share)"
        rise = measured["hr"]["eer"] - before["hr"]["eer"]
        if rise > self.max_overlap:
            yield f"equal error rate at full size rose by {rise:.3f}, limit {self.max_overlap} (--max-overlap)"


def shown(measured: Figures) -> Figures:
    """Return the figures by size of what will be used: through the super-resolver if there is one."""
    return cast(Figures, measured.get("dsr", measured["bicubic"]))
