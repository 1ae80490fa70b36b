"""Intervals by resampling people, with the threshold recomputed in each replicate. NumPy only.

A replicate draws as many people as there are, with replacement; w_i is how often person i was drawn. Comparisons of
person i with themselves weigh w_i, those of persons i and j weigh w_i w_j: two people had to be drawn for an impostor
comparison to exist, which is why intervals that resample comparisons, or one side only, are too narrow.

All replicates are handled together. Impostor scores are cut into bins; the weight of a bin in all replicates is one
matrix product over people, and only the bin in which a replicate's threshold lies is gone through score by score, so
that every replicate's figure is as exact as the figure itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.verification import Array

Weights = NDArray[np.float32]
"""(R, P): how often each of P people was drawn in each of R replicates."""

_WIDE_BINS = 40
_NARROW = 0.008  # of all impostors, in a bin where many replicates' thresholds lie
_NARROW_AT = 0.1  # the highest false accept rate that reports ask for
_WINDOW = 1 << 22  # weights held at once while a bin is gone through


def draw_people(people: int, replicates: int, seed: int) -> Weights:
    """Draw replicates of a set of people.

    Args:
        people: How many there are.
        replicates: How many draws.
        seed: Of the draws; systems that are compared must share it.
    """
    draw = np.random.default_rng(seed)
    return draw.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.float32)


def interval(values: NDArray[np.floating], level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval of a replicated figure; None if it was never measurable."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def rate_interval(value: float, values: NDArray[np.floating], people: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a rate: its log-odds plus and minus t times their standard error.

    Rates near 0 or 1 are skewed, and percentiles of few people cover too rarely; on log-odds they are nearly
    symmetric. The spread of n people drawn from themselves is sqrt((n - 1) / n) of that of n people drawn afresh, which
    is made good (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 2.6). Where a replicate
    is 0 or 1 there are no log-odds: percentiles. `benchmarks/coverage.py` measures both.

    Args:
        value: The rate itself.
        values: (R,) its replicates; NaN where not measurable.
        people: How many of those resampled have comparisons that the rate counts.
    """
    values = values[np.isfinite(values)]
    if len(values) < 2 or min(value, values.min()) <= 0 or max(value, values.max()) >= 1:
        return interval(values)
    odds = np.log(values / (1 - values))
    freedom = max(people - 1, 1)
    spread = float(odds.std(ddof=1)) * np.sqrt((freedom + 1) / freedom)
    reach = _t_quantile(1 / (1 / freedom + 1 / (len(odds) - 1))) * spread  # few people and few replicates both blur it
    centre = float(np.log(value / (1 - value)))
    low, high = (1 / (1 + np.exp(-(centre + side * reach))) for side in (-1, 1))
    return float(low), float(high)


def accuracy_replicates(
    correct: NDArray[np.bool_], same: NDArray[np.bool_], people: NDArray[np.integer], weights: Weights
) -> NDArray[np.float64]:
    """Return (R,) accuracies on listed pairs, decided at thresholds that stay as they are.

    Genuine and impostor pairs keep their shares of the list, which its author chose, in every replicate.

    Args:
        correct: (N,) whether each pair is decided correctly.
        same: (N,) whether it shows one person.
        people: (N, 2) both people of each.
        weights: (R, P) from `draw_people`.
    """
    accuracy = np.zeros(len(weights))
    height = max(1, _WINDOW // max(1, len(correct)))
    for kind in (same, ~same):
        first, second = people[kind].T
        for start in range(0, len(weights) if kind.any() else 0, height):
            drawn = weights[start : start + height]
            w = drawn[:, first] * (1.0 if kind is same else drawn[:, second])
            with np.errstate(invalid="ignore", divide="ignore"):
                accuracy[start : start + height] += kind.mean() * (w @ correct[kind]) / w.sum(axis=1)
    return accuracy


def _t_quantile(freedom: float) -> float:
    """Return the 97.5 % point of Student's t (Abramowitz and Stegun 26.7.5), within 1 % from 5 degrees of freedom."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


@dataclass(frozen=True)
class _Events:
    """Impostor comparisons in falling order of score, with both people, and genuine ones with theirs."""

    impostor: Array
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    genuine: Array
    person: NDArray[np.int32]


class IdentityBootstrap:
    """Replicates of the 1:1 figures of one system at one size.

    Args:
        genuine: (G,) scores.
        genuine_person: (G,) person of each, in 0..P-1.
        impostor: (I,) scores.
        impostor_people: (I, 2) both people of each.
        weights: (R, P) from `draw_people`; shared by the systems that are compared.

    Attributes:
        people: How many people have impostor comparisons.
        mated: How many people have genuine comparisons; figures that count those are no surer than so many people.
    """

    def __init__(
        self,
        genuine: Array,
        genuine_person: NDArray[np.integer],
        impostor: Array,
        impostor_people: NDArray[np.integer],
        weights: Weights,
    ) -> None:
        down, down_genuine = np.argsort(-impostor), np.argsort(-genuine)
        self._events = _Events(
            impostor[down],
            impostor_people[down, 0].astype(np.int32),
            impostor_people[down, 1].astype(np.int32),
            genuine[down_genuine],
            genuine_person[down_genuine].astype(np.int32),
        )
        self.weights = weights
        self.people = int(np.count_nonzero(np.bincount(self._events.first)))
        self._edges = _edges(self._events.impostor, self._events.genuine)
        self._weight_above = self._impostor_weights_above_edges()
        self._impostors = self._weight_above[-1]
        self._genuine_tails = np.bincount(self._events.person, minlength=weights.shape[1])
        self.mated = int(np.count_nonzero(self._genuine_tails))
        self._genuines = (weights @ self._genuine_tails.astype(np.float64)).astype(np.float64)

    def tar_at_far(self, far: float) -> NDArray[np.float64]:
        """Return (R,) TAR at the lowest threshold whose FAR is at most `far`; NaN where not measurable."""
        allowed = np.floor(far * self._impostors + 1e-6)
        refused = self._first_refused(allowed)
        accepted = self._genuine_weight_above(refused, strictly=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((allowed >= 1) & (self._genuines > 0), accepted / self._genuines, np.nan)

    def rates(self, threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (R,) FMR and (R,) FNMR at one fixed threshold."""
        at = int(np.searchsorted(-self._events.impostor, -threshold, "right"))
        edge = int(np.searchsorted(self._edges, at, "right")) - 1
        over = self._weight_above[edge] + self._weight_between(int(self._edges[edge]), at)
        fixed = np.full(len(self.weights), threshold)
        with np.errstate(invalid="ignore", divide="ignore"):
            accepted = self._genuine_weight_above(fixed, strictly=False) / self._genuines
            return over / self._impostors, 1 - accepted

    def eer(self) -> NDArray[np.float64]:
        """Return (R,) equal error rates; NaN where a replicate drew nobody to confuse or to recognise."""
        scores = self._events.impostor
        ends = np.maximum(self._edges - 1, 0)
        measurable = (self._impostors > 0) & (self._genuines > 0)
        # FMR - FNMR rises as the threshold falls: the first edge where it is positive closes the bin of the crossing.
        fmr = self._weight_above / np.maximum(self._impostors, 1)
        tar = np.stack([self._genuine_weight_above(np.full(len(self.weights), scores[end]), False) for end in ends])
        tar[0] = 0.0
        crossed = (fmr + tar / np.maximum(self._genuines, 1) - 1) >= 0
        closing = np.maximum(np.argmax(crossed, axis=0), 1)
        result = np.full(len(self.weights), np.nan)
        for bin_number in np.unique(closing[measurable]):
            chosen = np.flatnonzero(measurable & (closing == bin_number))
            result[chosen] = self._eer_within(chosen, int(self._edges[bin_number - 1]), int(self._edges[bin_number]))
        return result

    def _eer_within(self, chosen: NDArray[np.int64], start: int, stop: int) -> NDArray[np.float64]:
        """Go through the candidates of a bin: each impostor group and the genuine scores between."""
        events = self._events
        low = events.impostor[stop - 1]
        high = events.impostor[start - 1] if start else np.inf
        inside = np.flatnonzero((events.genuine >= low) & (events.genuine < high))
        scores = np.concatenate([events.impostor[start:stop], events.genuine[inside]])
        order = np.argsort(-scores, kind="stable")
        last = np.append(np.diff(scores[order]) != 0, True)
        kinds = np.append(np.ones(stop - start, bool), np.zeros(len(inside), bool))[order]
        first = np.append(events.first[start:stop], events.person[inside])[order]
        second = np.append(events.second[start:stop], events.person[inside])[order]
        result = np.empty(len(chosen))
        base_edge = int(np.searchsorted(self._edges, start))
        for part in np.array_split(np.arange(len(chosen)), -(-len(chosen) * len(scores) // _WINDOW)):
            rows = chosen[part]
            w = self.weights[rows]
            gain = np.where(kinds, w[:, first] * w[:, second] / self._impostors[rows, None], 0.0)
            hit = np.where(kinds, 0.0, w[:, first] / self._genuines[rows, None])
            above = np.full(len(rows), high)
            tar0 = self._genuine_weight_above(above, False, rows) / self._genuines[rows]
            fmr0 = self._weight_above[base_edge][rows] / self._impostors[rows]
            fmr = np.column_stack([fmr0, fmr0[:, None] + np.cumsum(gain, axis=1)[:, last]])
            fnmr = 1 - np.column_stack([tar0, tar0[:, None] + np.cumsum(hit, axis=1)[:, last]])
            best = np.abs(fmr - fnmr).argmin(axis=1)
            crossing = np.take_along_axis(fmr + fnmr, best[:, None], 1)[:, 0] / 2
            result[part] = crossing.clip(0)  # a sum of shares can fall below 0 by 1e-17
        return result

    def _first_refused(self, allowed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (R,) the highest impostor score that may no longer be accepted; -inf where all may be."""
        refused = np.full(len(allowed), -np.inf)
        closing = (self._weight_above > allowed).argmax(axis=0)
        open_ended = ~(self._weight_above[-1] > allowed)
        for bin_number in np.unique(closing[~open_ended]):
            chosen = np.flatnonzero((closing == bin_number) & ~open_ended)
            start, stop = int(self._edges[bin_number - 1]), int(self._edges[bin_number])
            first, second = self._events.first[start:stop], self._events.second[start:stop]
            for rows in np.array_split(chosen, -(-len(chosen) * (stop - start) // _WINDOW)):
                w = self.weights[rows]
                over = self._weight_above[bin_number - 1][rows, None] + np.cumsum(
                    w[:, first] * w[:, second], axis=1, dtype=np.float64
                )
                refused[rows] = self._events.impostor[start + (over > allowed[rows, None]).argmax(axis=1)]
        return refused

    def _genuine_weight_above(
        self, thresholds: NDArray[np.float64], strictly: bool, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return (R,) the weight of genuine scores above each replicate's own threshold (or equal, if not strictly)."""
        down = -self._events.genuine.astype(np.float64)
        counts = np.searchsorted(down, -thresholds, "left" if strictly else "right")
        chosen = np.arange(len(self.weights)) if rows is None else rows
        accepted = np.zeros(len(thresholds))
        for count in np.unique(counts):
            same = counts == count
            people = np.bincount(self._events.person[:count], minlength=self.weights.shape[1]).astype(np.float32)
            accepted[same] = self.weights[chosen[same]] @ people
        return accepted

    def _impostor_weights_above_edges(self) -> NDArray[np.float64]:
        """Return (E, R) the weight of the impostors before each edge."""
        people = self.weights.shape[1]
        table = np.zeros((people, people), np.float32)
        flat = table.reshape(-1)
        above = np.zeros((len(self._edges), len(self.weights)))
        pair = self._events.first.astype(np.int64) * people + self._events.second
        for number in range(1, len(self._edges)):
            part = pair[self._edges[number - 1] : self._edges[number]]
            flat += np.bincount(part, minlength=people * people).astype(np.float32)
            above[number] = ((self.weights @ table) * self.weights).sum(axis=1, dtype=np.float64)
        return above

    def _weight_between(self, start: int, stop: int) -> NDArray[np.float64]:
        first, second = self._events.first[start:stop], self._events.second[start:stop]
        total = np.zeros(len(self.weights))
        for rows in np.array_split(np.arange(len(self.weights)), max(1, len(self.weights) * len(first) // _WINDOW)):
            w = self.weights[rows]
            total[rows] = (w[:, first] * w[:, second]).sum(axis=1, dtype=np.float64)
        return total


def _edges(falling: Array, genuine: Array) -> NDArray[np.int64]:
    """Cut falling impostor scores into bins that never part equal scores, narrow where thresholds are asked for.

    Each edge costs a matrix product and each bin a walk through its scores. Bins widen with the share of impostors
    above them, but around `_NARROW_AT` and the equal error rate, from which replicates stray little; thresholds
    elsewhere are found as exactly, and more slowly.

    Returns:
        Positions, from 0 to the number of scores.
    """
    count = len(falling)
    wide = np.geomspace(1e-5, 1, _WIDE_BINS)
    centres = [_NARROW_AT, *_equal_error_share(falling, genuine, wide)]
    shares = np.concatenate([wide, *(np.arange(0.75 * centre, 1.33 * centre, _NARROW) for centre in centres)])
    wanted = np.unique(np.clip(np.ceil(shares * count), 0, count).astype(np.int64))
    inner = wanted[(wanted > 0) & (wanted < count)]
    closed = np.searchsorted(-falling, -falling[inner - 1], "right")  # the end of the group that the edge would cut
    return np.unique(np.concatenate([[0], closed, [count]])).astype(np.int64)


def _equal_error_share(falling: Array, genuine: Array, shares: NDArray[np.float64]) -> list[float]:
    """Return the share between whose neighbours FMR and FNMR cross; none without scores."""
    if len(falling) == 0 or len(genuine) == 0:
        return []
    at = falling[np.ceil(shares * len(falling)).astype(np.int64).clip(1) - 1]
    accepted = np.searchsorted(-genuine, -at, "right") / len(genuine)
    return [float(shares[max(1, int(np.argmax(shares + accepted >= 1)))])]
