"""ROC, DET and score histograms of a report as PNG and SVG, drawn from its counts."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from engine.files import atomic_path
from pipeline.evaluation.faces import HR_PX
from pipeline.evaluation.measures import Json
from pipeline.reporting.summary import main_system, size_name

FORMATS = ("png", "svg")
COLOURS = {
    "bicubic": "#7f7f7f",
    "nearest": "#c7a76c",
    "bilinear": "#b08d57",
    "dsr": "#0072b2",
    "dsr+finetuned": "#d55e00",
    "finetuned": "#e69f00",
    "dsr+adapted": "#009e73",
    "adapted": "#56b4e9",
    "bicubic+unseen": "#9a9a4a",
    "dsr+unseen": "#5b4fc4",
    "hr": "#222222",
    "hr+finetuned": "#cc79a7",
    "hr+adapted": "#8a63a8",
    "hr+unseen": "#555511",
}
"""Okabe and Ito's palette, told apart without red-green vision."""


def write_plots(folder: Path, report: Json) -> None:
    """Write roc, det and histograms, each as PNG and SVG: a picture an input size, or full size alone."""
    sizes = sorted({curve["size_px"] for curve in report["curves"]} - {HR_PX}) or [HR_PX]
    columns, rows = min(3, len(sizes)), -(-len(sizes) // 3)
    for name, draw in (("roc", _draw_roc), ("det", _draw_det), ("histograms", _draw_histograms)):
        figure = Figure(figsize=(4 * columns, 3.6 * rows), layout="constrained")
        shared = figure.subplots(rows, columns, sharex=True, sharey=name != "histograms", squeeze=False)
        for axes, size in zip(shared.flat[: len(sizes)], sizes, strict=True):
            axes.set_title(size_name(size))
            draw(axes, report, [curve for curve in report["curves"] if curve["size_px"] in (size, HR_PX)])
            axes.minorticks_off()  # nine for each decade, two fifths of the time
        for axes in shared.flat[len(sizes) :]:
            axes.remove()
        for axes in shared.flat[max(0, len(sizes) - columns) : len(sizes)]:
            axes.tick_params(labelbottom=True)  # nothing may stand below it
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
        with matplotlib.rc_context({"svg.hashsalt": "report"}):
            for suffix in FORMATS:
                with atomic_path(folder / f"{name}.{suffix}") as temporary:
                    figure.savefig(temporary, format=suffix, dpi=110)
                figure.set_layout_engine("none")  # it is laid out, which takes as long as it takes to draw


def rates_of(curve: Json) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (FMR, TAR) at every step of a curve's counts, thresholds falling."""
    rates = []
    for kind in ("impostor", "genuine"):
        counts = np.array(curve[kind].split(), np.int64)[::-1]
        total = counts.sum() + curve[f"{kind}_failed"]
        rates.append(np.cumsum(counts) / total)
    return rates[0], rates[1]


def _draw_roc(axes: Axes, report: Json, curves: list[Json]) -> None:
    for curve in curves:
        fmr, tar = rates_of(curve)
        axes.plot(fmr, tar, color=COLOURS[curve["system"]], label=_name(report, curve), lw=1.4)
    axes.set(xscale="log", xlim=(1e-5, 1), ylim=(0, 1.01), xlabel="false match rate", ylabel="true accept rate")
    axes.grid(alpha=0.3)


def _draw_det(axes: Axes, report: Json, curves: list[Json]) -> None:
    for curve in curves:
        fmr, tar = rates_of(curve)
        axes.plot(fmr, np.maximum(1 - tar, 1e-5), color=COLOURS[curve["system"]], label=_name(report, curve), lw=1.4)
    axes.set(xscale="log", yscale="log", xlim=(1e-5, 1), ylim=(1e-4, 1), xlabel="FMR", ylabel="FNMR")
    axes.grid(alpha=0.3)


def _draw_histograms(axes: Axes, report: Json, curves: list[Json]) -> None:
    chosen = main_system(report)
    curve = next((curve for curve in curves if curve["system"] == chosen), curves[0])
    for kind, colour in (("impostor", "#d55e00"), ("genuine", "#0072b2")):
        counts = np.array(curve[kind].split(), np.float64)
        wide = np.add.reduceat(counts, np.arange(0, len(counts), 20))
        middles = (curve["first_step"] + 20 * np.arange(len(wide)) + 10) * curve["step"]
        axes.fill_between(middles, wide / max(wide.sum(), 1), alpha=0.5, color=colour, label=kind)
    axes.set(xlabel="cosine similarity", yticks=[], ylabel="share")


def _name(report: Json, curve: Json) -> str:
    return str(next(entry["name"] for entry in report["systems"] if entry["key"] == curve["system"]))
