"""How often 95 % bootstrap intervals hold the truth, on simulated scores whose true figures are known.

Run `python -m benchmarks.coverage [SIMULATIONS [SEED]]`. Each person has a hardness of their own, so that comparisons
of one person, and of one pair of people, go together.
"""

import sys
from functools import cache
from math import hypot
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metrics.bootstrap import IdentityBootstrap, draw_people, interval, rate_interval
from metrics.verification import eer as equal_error_rate
from metrics.verification import error_rates, tar_at_far

FAR, THRESHOLD = 0.01, 0.4
GENUINE, IMPOSTOR, PERSON_SD, IMAGE_SD = 0.55, 0.1, 0.05, 0.1
Sample = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


def sample(draw: np.random.Generator, people: int, images: int) -> Sample:
    """Draw people and the scores of all pairs of their images."""
    hardness, likeness = draw.normal(0, PERSON_SD, people), draw.normal(0, PERSON_SD, people)
    person = np.repeat(np.arange(people), images)
    first, second = np.triu_indices(len(person), 1)
    a, b = person[first], person[second]
    same = a == b
    genuine = GENUINE - hardness[a[same]] + draw.normal(0, IMAGE_SD, int(same.sum()))
    impostor = IMPOSTOR + likeness[a[~same]] + likeness[b[~same]] + draw.normal(0, IMAGE_SD, int((~same).sum()))
    people_of = np.column_stack([a[~same], b[~same]])
    return genuine.astype(np.float32), a[same], impostor.astype(np.float32), people_of


@cache
def truth() -> dict[str, float]:
    """Return the figures of the whole population: both kinds of scores are normal, so they follow from their curves."""
    genuine = NormalDist(GENUINE, hypot(PERSON_SD, IMAGE_SD))
    impostor = NormalDist(IMPOSTOR, hypot(PERSON_SD, PERSON_SD, IMAGE_SD))
    meeting = (GENUINE * impostor.stdev + IMPOSTOR * genuine.stdev) / (impostor.stdev + genuine.stdev)
    return {
        "tar": 1 - genuine.cdf(impostor.inv_cdf(1 - FAR)),
        "eer": genuine.cdf(meeting),
        "fmr": 1 - impostor.cdf(THRESHOLD),
        "fnmr": genuine.cdf(THRESHOLD),
    }


def figures(data: Sample) -> dict[str, float]:
    """Return the figures of one sample."""
    genuine, _, impostor, _ = data
    rates = error_rates(genuine, impostor, THRESHOLD)
    tar = tar_at_far(genuine, impostor, FAR).tar
    return {"tar": tar, "eer": equal_error_rate(genuine, impostor).value, "fmr": rates.fmr, "fnmr": rates.fnmr}


@cache
def coverage(
    simulations: int = 500, replicates: int = 500, people: int = 100, images: int = 4, seed: int = 0
) -> dict[str, list[float]]:
    """Return the shares of simulations whose log-odds interval, and whose percentile interval, hold the truth.

    Args:
        simulations: How many; the share is known to 1 % (one standard error) after 500.
        replicates: Of each bootstrap.
        people: In each simulation.
        images: Of each person.
        seed: Of everything that is drawn.
    """
    expected = truth()
    held = {name: [0, 0] for name in expected}
    draw = np.random.default_rng(seed)
    for _ in tqdm(range(simulations), unit="simulation", disable=None):
        data = sample(draw, people, images)
        values = figures(data)
        replicas = IdentityBootstrap(*data, draw_people(people, replicates, int(draw.integers(2**31))))
        fmr, fnmr = replicas.rates(THRESHOLD)
        found = {"tar": replicas.tar_at_far(FAR), "eer": replicas.eer(), "fmr": fmr, "fnmr": fnmr}
        for name, replicated in found.items():
            spans = rate_interval(values[name], replicated, people), interval(replicated)
            for method, (low, high) in enumerate(span or (np.nan, np.nan) for span in spans):
                held[name][method] += int(low <= expected[name] <= high)
    return {name: [count / simulations for count in counts] for name, counts in held.items()}


def main(simulations: int = 500, seed: int = 0) -> None:
    """Print the coverage of each figure."""
    print(f"share of {simulations} simulations (seed {seed}) whose 95 % interval holds the truth")
    for name, (odds, percentiles) in coverage(simulations, seed=seed).items():
        print(f"{name}: {truth()[name]:.4f}, log-odds with t {100 * odds:.1f} %, percentiles {100 * percentiles:.1f} %")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
