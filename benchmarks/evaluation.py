"""Speed and memory of the evaluation against the usual ways, as ratios within one run.

Run `python -m benchmarks.evaluation`; `--scores` and `--faces` shrink it for small machines.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from pipeline.comparisons import all_pairs
from pipeline.top_matches import top_matches
from pipeline.verification import auc, eer, sort_both, tar_at_far

FARS = (1e-1, 1e-2, 1e-3, 1e-4)


def seconds(call: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a tenth genuine and nine tenths impostor scores."""
    draw = np.random.default_rng(0)
    genuine = draw.normal(0.6, 0.15, count // 10).astype(np.float32)
    return genuine, draw.normal(0.1, 0.12, count - count // 10).astype(np.float32)


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
        + f"e.drawn({count}); a = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; t = time.perf_counter()\n"
        f"e.{what}({count}); print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - a)"
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
    draw = np.random.default_rng(0)
    values = draw.normal(size=(faces, 512)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    person = draw.integers(0, faces // 5, faces)
    block = np.empty((1024, faces), np.float32)

    def bare(kept: np.ndarray) -> None:
        for start in range(0, faces, 1024):
            part = values[start : start + 1024]
            scores = np.matmul(part, values.T, out=block[: len(part)])
            kept[start * faces : (start + len(part)) * faces] = scores.reshape(-1)

    base = seconds(lambda: bare(np.empty(faces * faces, np.float32)))
    spent = seconds(lambda: all_pairs(values, values, person, person))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"all pairs of {faces:,}: {spent:.1f} s, bare product and one pass {base:.1f} s ({spent / base:.2f}x), "
        f"peak {peak:.2f} GiB"
    )


def bench_search(templates: int, probes: int = 1000) -> None:
    """Top 10 of probes in a large gallery, against FAISS flat."""
    import faiss

    draw = np.random.default_rng(0)
    gallery = draw.standard_normal((templates, 512), np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    searched = gallery[:probes] + np.float32(0.01)
    index = faiss.IndexFlatIP(512)
    index.add(gallery)
    usual = seconds(lambda: index.search(searched, 10))
    spent = seconds(lambda: top_matches(searched, gallery, 10))
    same = float((index.search(searched, 10)[1] == top_matches(searched, gallery, 10)[1]).mean())
    print(
        f"top 10 of {probes} in {templates:,}: {spent:.2f} s, FAISS flat {usual:.2f} s ({spent / usual:.2f}x), "
        f"equal {same:.4f}"
    )


def main(scores: int = 10**7, faces: int = 10_600, templates: int = 10**6) -> None:
    """Print every ratio."""
    bench_metrics(scores)
    bench_pairs(faces)
    bench_search(templates)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
