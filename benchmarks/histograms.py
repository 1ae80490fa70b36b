"""Genuine and impostor scores of several systems at two sizes, in one picture, from the reports that hold them.

python -m benchmarks.histograms docs/images/scores.png runs/evaluation/report.json [ANOTHER/report.json ...]

Prints the means and d' beside it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from engine.files import atomic_path
from pipeline.evaluation.measures import Json

SYSTEMS = ("bicubic", "dsr", "adapted", "dsr+adapted")
SIZES_PX = (8, 16)
COLOURS = {"impostor": "#d55e00", "genuine": "#0072b2"}
WIDTH = 10  # thousandths of a score in a bar


def main(picture: Path, reports: list[Path]) -> None:
    """Draw the picture and print the table."""
    found: dict[tuple[str, int], tuple[str, Json, Json]] = {}
    for report in map(json.loads, (path.read_text(encoding="utf-8") for path in reports)):
        names = {entry["key"]: entry["name"] for entry in report["systems"]}
        figures = {(row["system"], row["size_px"]): row["verification"] for row in report["results"]}
        found |= {
            key: (names[key[0]], curve, figures[key])
            for curve in report["curves"]
            if (key := (curve["system"], curve["size_px"]))
        }
    figure = Figure(figsize=(8, 1.6 * len(SYSTEMS)), layout="constrained")
    axes = figure.subplots(len(SYSTEMS), len(SIZES_PX), sharex=True, sharey="col")
    print("| system | size | genuine mean | impostor mean | d' |\n| --- | --- | --- | --- | --- |")
    for row, system in enumerate(SYSTEMS):
        for column, size in enumerate(SIZES_PX):
            name, curve, rates = found[system, size]
            place = axes[row, column]
            for kind, colour in COLOURS.items():
                counts = np.array(curve[kind].split(), np.float64)
                bars = np.add.reduceat(counts, np.arange(0, len(counts), WIDTH))
                middles = (curve["first_step"] + WIDTH * (np.arange(len(bars)) + 0.5)) * curve["step"]
                place.fill_between(middles, bars / bars.sum(), alpha=0.5, color=colour, label=kind)
            place.set(title=f"{name}, {size} px", yticks=[], xlim=(-0.4, 0.9))
            means = f"{rates['genuine_mean']:.3f} | {rates['impostor_mean']:.3f} | {rates['d_prime']:.2f}"
            print(f"| {name} | {size} px | {means} |")
    axes[0, 0].legend(frameon=False, fontsize="small")
    axes[-1, 0].set_xlabel("cosine similarity")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
