"""How often 95 % bootstrap intervals hold the truth, on simulated scores whose true figures are known.

Run `python -m benchmarks.coverage`. Each person has a hardness of their own, so that comparisons of one person, and
of one pair of people, go together; the truth comes from a population of many people.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.bootstrap import IdentityBootstrap, draw_people, rate_interval
from pipeline.verification import eer as equal_error_rate
from pipeline.verification import error_rates, tar_at_far

FAR, THRESHOLD = 0.01, 0.4
Sample = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def sample(draw: np.random.Generator, people: int, images: int) -> Sample:
    """Draw people and the scores of all pairs of their images."""
    hardness, likeness = draw.normal(0, 0.05, people), draw.normal(0, 0.05, people)
    person = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(person), 1)
    a, b = person[first], person[second]
    same = a == b
    genuine = 0.55 - hardness[a[same]] + draw.normal(0, 0.1, int(same.sum()))
    impostor = 0.1 + (likeness[a[~same]] + likeness[b[~same]]) + draw.normal(0, 0.1, int((~same).sum()))
    people_of = np.column_stack([a[~same], b[~same]])
    return genuine.astype(np.float32), a[same], impostor.astype(np.float32), people_of


@cache
def truth(seed: int = 1) -> dict[str, float]:
    """Return the figures of a population: the mean over large samples."""
    draw = np.random.default_rng(seed)
    rows = [figures(sample(draw, 700, 3)) for _ in range(12)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def figures(data: Sample) -> dict[str, float]:
    """Return the figures of one sample."""
    genuine, _, impostor, _ = data
    rates = error_rates(genuine, impostor, THRESHOLD)
    tar = tar_at_far(genuine, impostor, FAR).tar
    return {"tar": tar, "eer": equal_error_rate(genuine, impostor).value, "fmr": rates.fmr, "fnmr": rates.fnmr}


@cache
def coverage(simulations: int = 500, replicates: int = 300, people: int = 100, images: int = 4) -> dict[str, float]:
    """Return the share of simulations whose interval holds the truth, for each figure."""
    expected, held = truth(), dict.fromkeys(truth(), 0)
    draw = np.random.default_rng(0)
    for number in range(simulations):
        data = sample(draw, people, images)
        values = figures(data)
        replicas = IdentityBootstrap(*data, draw_people(people, replicates, number))
        fmr, fnmr = replicas.rates(THRESHOLD)
        found = {"tar": replicas.tar_at_far(FAR), "eer": replicas.eer(), "fmr": fmr, "fnmr": fnmr}
        for name, replicated in found.items():
            low, high = rate_interval(values[name], replicated, people) or (np.nan, np.nan)
            held[name] += int(low <= expected[name] <= high)
    return {name: count / simulations for name, count in held.items()}


if __name__ == "__main__":
    for figure, share in coverage().items():
        print(f"{figure}: {100 * share:.1f} % of 500 intervals hold the truth")
