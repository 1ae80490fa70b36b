"""Speed and memory of the evaluation against the usual ways, as ratios within one run.

Run `python -m benchmarks.evaluation [SCORES [FACES [TEMPLATES]]]`, by default 10,000,000, 6,000 and 200,000: under
three minutes on two cores. Seconds are processor time of all threads, both sides of a ratio take turns and the fastest
of three counts, so that other work on the machine does not pass for a difference. FAISS needs its extra; without it
the bare matrix product alone is compared.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import sample
from metrics.bootstrap import IdentityBootstrap, draw_people
from metrics.comparisons import all_pairs
from metrics.top_matches import top_matches
from metrics.verification import auc, eer, sort_both, tar_at_far

Embeddings = NDArray[np.float32]
FARS = (1e-1, 1e-2, 1e-3, 1e-4)


def fastest(*calls: Callable[[], object], turns: int = 3) -> list[float]:
    """Return the least processor time of each call; the calls take turns."""
    spent = [float("inf")] * len(calls)
    for _ in range(turns):
        for number, call in enumerate(calls):
            start = time.process_time()
            call()
            spent[number] = min(spent[number], time.process_time() - start)
    return spent


def unit(count: int) -> Embeddings:
    """Draw (count, 512) unit embeddings."""
    values = np.random.default_rng(0).standard_normal((count, 512), np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a tenth genuine and nine tenths impostor scores, made in place: their making sets no peak."""
    draw, kinds = np.random.default_rng(0), ((0.6, 0.15, count // 10), (0.1, 0.12, count - count // 10))
    genuine, impostor = (draw.standard_normal(size, np.float32) for _, _, size in kinds)
    for values, (mean, deviation, _) in zip((genuine, impostor), kinds, strict=True):
        values *= np.float32(deviation)
        values += np.float32(mean)
    return genuine, impostor


def ours(count: int) -> None:
    """AUC, EER and four TAR at FAR."""
    genuine, impostor = sort_both(*drawn(count))
    found = [tar_at_far(genuine, impostor, far).tar for far in FARS]
    print(repr([*found, auc(genuine, impostor), eer(genuine, impostor).value]))


def theirs(count: int) -> None:
    """The same through scikit-learn's whole curve."""
    from sklearn.metrics import auc as area
    from sklearn.metrics import roc_curve

    genuine, impostor = drawn(count)
    truth = np.append(np.ones(len(genuine), np.int8), np.zeros(len(impostor), np.int8))
    fpr, tpr, _ = roc_curve(truth, np.append(genuine, impostor), drop_intermediate=False)
    found = [float(tpr[fpr <= far + 1e-12].max()) for far in FARS]
    best = np.abs(fpr + tpr - 1).argmin()
    print(repr([*found, float(area(fpr, tpr)), float((fpr[best] + 1 - tpr[best]) / 2)]))


def measured(what: str, count: int) -> tuple[float, float, list[float]]:
    """Run `ours` or `theirs` in a process of its own: seconds, MiB above the scores, figures."""
    code = (
        "import time, resource, sys; from benchmarks import evaluation as e; e.drawn(10)\n"
        + ("import sklearn.metrics\n" if what == "theirs" else "")
        + f"e.drawn({count}); a = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; t = time.process_time()\n"
        f"e.{what}({count}); print(time.process_time() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - a)"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    spent, kib = map(float, lines[1].split())
    values = [float(value) for value in lines[0].replace("np.float64(", "").strip("[]").replace(")", "").split(",")]
    return spent, kib / 1024, values


def bench_metrics(count: int) -> None:
    """Figures of many scores, ours against scikit-learn's."""
    first, second = measured("ours", count), measured("theirs", count)
    gap = max(abs(a - b) for a, b in zip(first[2], second[2], strict=True))
    print(
        f"metrics of {count:.0e} scores: {first[0]:.2f} s against scikit-learn's {second[0]:.2f} s "
        f"({second[0] / first[0]:.1f}x), peak memory above the scores {first[1]:.0f} against {second[1]:.0f} MiB "
        f"({second[1] / max(first[1], 1):.1f}x), largest difference {gap:.1e}"
    )


def bench_pairs(faces: int) -> None:
    """All pairs, against the bare matrix product in blocks plus one pass over the scores."""
    values = unit(faces)
    person = np.random.default_rng(0).integers(0, faces // 5, faces)

    def bare() -> None:
        kept, block = np.empty(faces * faces, np.float32), np.empty((1024, faces), np.float32)
        for start in range(0, faces, 1024):
            part = values[start : start + 1024]
            scores = np.matmul(part, values.T, out=block[: len(part)])
            kept[start * faces : (start + len(part)) * faces] = scores.reshape(-1)

    spent, base = fastest(lambda: all_pairs(values, values, person, person), bare)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"all pairs of {faces:,}: {spent:.2f} s, bare product and one pass {base:.2f} s ({spent / base:.2f}x), "
        f"peak of the process {peak:.2f} GiB"
    )


def bench_search(templates: int, probes: int = 1000) -> None:
    """Top 10 of probes in a large gallery, against the bare matrix product and FAISS flat."""
    gallery = unit(templates)
    searched = gallery[:probes] + np.float32(0.01)
    block = np.empty((1024, probes), np.float32)

    def bare() -> None:
        for start in range(0, templates, 1024):
            part = gallery[start : start + 1024]
            np.matmul(part, searched.T, out=block[: len(part)])

    calls = [lambda: top_matches(searched, gallery, 10), bare]
    if find_spec("faiss"):
        import faiss

        index = faiss.IndexFlatIP(512)
        index.add(gallery)
        calls.append(lambda: index.search(searched, 10))
    spent, base, *flat = fastest(*calls)
    usual = f", FAISS flat {flat[0]:.2f} s ({spent / flat[0]:.2f}x)" if flat else ""
    print(f"top 10 of {probes} in {templates:,}: {spent:.2f} s, bare product {base:.2f} s ({spent / base:.2f}x){usual}")
    if flat:
        same = (index.search(searched, 10)[1] == top_matches(searched, gallery, 10)[1]).mean()
        print(f"matches equal to those of FAISS: {same:.4f}")


def bench_bootstrap(people: int = 400, images: int = 5, replicates: int = 500) -> None:
    """The intervals of a row: all pairs of a set of faces, people resampled."""
    scores, person, others, pairs = sample(np.random.default_rng(0), people, images)
    weights = draw_people(people, replicates, seed=0)

    def intervals() -> None:
        replicas = IdentityBootstrap(scores, person, others, pairs, weights)
        replicas.eer(), replicas.rates(0.4), [replicas.tar_at_far(far) for far in FARS]

    (spent,) = fastest(intervals, turns=1)
    print(f"{replicates} replicates of EER, FMR, FNMR and four TAR, {len(others):,} impostor scores: {spent:.1f} s")


def main(scores: int = 10**7, faces: int = 6_000, templates: int = 200_000) -> None:
    """Print every ratio."""
    bench_metrics(scores)
    bench_pairs(faces)
    bench_search(templates)
    bench_bootstrap()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
