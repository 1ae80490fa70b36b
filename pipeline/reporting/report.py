"""The report of an evaluation: JSON first, and what is made from it (tables, CSV, plots, the page)."""

import csv
import io
import platform
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.files import atomic_path, write_json, write_text
from metrics.resampling import MOST_COMPARED
from pipeline.evaluation.course import Measured, Plan
from pipeline.evaluation.faces import HR_PX, Split
from pipeline.evaluation.freezing import Frozen
from pipeline.evaluation.measures import FARS, Json
from pipeline.evaluation.replicates import write_replicates
from pipeline.evaluation.systems import SYSTEMS, Networks, System
from pipeline.reporting.frames_table import frames_csv_rows, frames_markdown
from pipeline.reporting.page import write_page
from pipeline.reporting.plots import write_plots
from pipeline.reporting.summary import (
    headline,
    index_check,
    lead,
    main_system,
    summary_markdown,
    table_rows,
    target_kept,
)

SCHEMA = "dsr-edgeface/evaluation/1"
"""Grows when a field changes its meaning or goes; see docs/report-schema.md."""

_INTERVAL = "95 %, people resampled, threshold recomputed in each replicate; those of listed pairs stay as chosen"


def build_report(
    split: Split,
    networks: Networks,
    systems: list[System],
    measured: list[Measured],
    differences: list[Json],
    plan: Plan,
    frozen: Frozen,
    config: Json,
    command: list[str],
    frames: list[Json],
) -> Json:
    """Return the whole report as JSON values.

    Args:
        split: The faces.
        networks: What was evaluated.
        systems: The rows.
        measured: Every cell.
        differences: From `pipeline.evaluation.course.differences`.
        plan: What was compared.
        frozen: Where the thresholds come from.
        config: The command's options.
        command: `sys.argv`.
        frames: From `pipeline.evaluation.frames.measure_frames`.
    """
    present = {system.key for system in systems}
    report: Json = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "pipeline.evaluate_dataset", *command[1:]]),
        "options": config,
        "machine": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "system": f"{platform.system()} {platform.machine()}",
        },
        "data": _data(split, plan),
        "protocol": {**_protocol_of(plan, "unseen" in networks.recognisers), "flip": config["flip"]},
        "weights": networks.weights,
        "system_hashes": networks.hashes,
        "systems": [
            {"key": system.key, "name": system.name, "edgeface": system.edgeface, "dsr": system.restored}
            for system in systems
        ],
        "absent": [
            {"key": system.key, "name": system.name, "reason": _why_absent(system, networks)}
            for system in SYSTEMS
            if system.key not in present and system.edgeface != "unseen"
        ],
        "threshold": {
            "target": frozen.target,
            "origin": frozen.origin,
            "development": [
                {"system": key, "size_px": size, **asdict(rates)} for (key, size), rates in frozen.development.items()
            ],
        },
        "results": [cell.figures for cell in measured],
        "differences": differences,
        "frames": frames,
        "groups": [
            {"system": cell.system.key, "size_px": cell.size_px, **entry} for cell in measured for entry in cell.groups
        ],
        "curves": [{"system": cell.system.key, "size_px": cell.size_px, **cell.counts} for cell in measured],
        "failures": [{"image": name, "reason": reason} for name, reason in sorted(split.failures.items())],
    }
    report["main_system"] = main_system(report)
    report["target_kept"] = target_kept(report)
    report["headline"] = headline(report)
    report["lead"] = lead(report)
    report["index_check"] = index_check(report)
    return report


def write_report(folder: Path, report: Json, measured: list[Measured], split: Split, faces: bool, plots: bool) -> None:
    """Write every file of a report, each whole or not at all; `report.json` last.

    Args:
        folder: Receives the files.
        report: From `build_report`.
        measured: Every cell, for the worst comparisons.
        split: The faces, for their pictures.
        faces: Whether the page shows pictures of faces.
        plots: Whether the plots are drawn as files too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "summary.md", summary_markdown(report))
    write_text(folder / "results.csv", _as_csv(table_rows(report)))
    if report["frames"]:
        write_text(folder / "frames.csv", _as_csv(frames_csv_rows(report["frames"])))
    scores = _score_rows(measured, split)
    write_text(folder / "scores.csv", _as_csv(scores))
    if find_spec("pyarrow") is not None:
        _write_parquet(folder / "scores.parquet", scores)
    write_replicates(folder, measured)
    if plots:
        write_plots(folder, report)
    write_page(folder / "report.html", report, measured if faces else [], split)
    write_json(folder / "report.json", report)


def print_table(report: Json) -> None:
    """Print the figures that matter most."""
    for line in report["headline"]:
        print(line)
    names = ["name", "size", "tar@far=1e-2", "tar@far=1e-3", "eer", "fmr", "fnmr", "rank1", "pairs"]
    rows = [[row[name] for name in names] for row in table_rows(report, shown=True)]
    header = ["system", "input", "TAR@FAR 1 %", "TAR@FAR 0.1 %", "EER", "FMR", "FNMR", "rank 1", "pairs"]
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    for line in [header, *rows]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    print(*frames_markdown(report["frames"])[2:], sep="\n", end="\n" if report["frames"] else "")
    for reason in dict.fromkeys(entry["reason"] for entry in report["absent"]):
        absent = [entry["key"] for entry in report["absent"] if entry["reason"] == reason]
        print(f"absent ({reason}): {', '.join(absent)}")
    if report["failures"]:
        print(f"{len(report['failures'])} images could not be read; they count as errors and are listed in report.json")


def _protocol_of(plan: Plan, with_unseen: bool) -> dict[str, Any]:
    """Return the protocol in words and numbers, for the report."""
    return {
        "all_pairs": "every HR gallery face against every probe, the same photograph left out",
        "gallery": "HR faces embedded by the original EdgeFace, so that an enrolled gallery stays valid"
        + ("; rows of the unseen recogniser have a gallery of their own" if with_unseen else ""),
        "probes": "faces at each input size, embedded by the system under test",
        "searches": plan.searches.note if plan.searches else None,
        "searches_sha256": plan.searches.sha256(plan.sets) if plan.searches else None,
        "pairs": plan.pairs.source if plan.pairs else None,
        "pairs_threshold": _pairs_judged_by(plan),
        "pairs_repeated": plan.pairs.repeated if plan.pairs else 0,
        "pairs_contradicting": plan.pairs.contradicting if plan.pairs else 0,
        "far_targets": list(FARS),
        "replicates": plan.replicates,
        "seed": plan.seed,
        "interval": _INTERVAL if plan.replicates else None,
        "most_comparisons_resampled": MOST_COMPARED,
        "failures": "a comparison with an unreadable face is rejected at every threshold",
    }


def _pairs_judged_by(plan: Plan) -> str | None:
    if plan.pairs is None:
        return None
    if plan.pair_thresholds is not None:
        return plan.pair_thresholds.origin
    if len(np.unique(plan.pairs.folds)) > 1:
        return "each fold by the threshold that is the most accurate on the other folds"
    if len(np.unique(plan.pairs.parts)) > 1:
        return "the list has one fold: ten parts, each by the threshold that is the most accurate on the other nine"
    return "too few pairs to choose on: the best threshold in hindsight, which flatters"


def _data(split: Split, plan: Plan) -> Json:
    counts = np.bincount(split.person)
    return {
        "root": split.root.as_posix(),
        "sha256": split.sha256,
        "images": len(split),
        "people": len(split.people),
        "people_with_one_image": int((counts == 1).sum()),
        "whose": split.rule,
        "views": {str(size): split.view_source(size) for size in (*plan.sizes_px, HR_PX)},
    }


def _why_absent(system: System, networks: Networks) -> str:
    if system in networks.systems():
        return "not among --systems"
    lacking = [] if system.edgeface in networks.recognisers else [f"no {system.edgeface} EdgeFace given"]
    if system.restored and networks.dsr is None:
        lacking.append("no super-resolver given")
    return ", ".join(lacking)


def _score_rows(measured: list[Measured], split: Split) -> list[dict[str, Any]]:
    """Return the worst comparisons of every cell."""
    rows: list[dict[str, Any]] = []
    for cell in measured:
        worst = cell.extremes
        for same, scores, pairs in ((1, worst.genuine, worst.genuine_rows), (0, worst.impostor, worst.impostor_rows)):
            rows += [
                {
                    "system": cell.system.key,
                    "size_px": cell.size_px,
                    "gallery": split.keys[gallery],
                    "probe": split.keys[probe],
                    "same": same,
                    "score": round(float(score), 6),
                    "accepted": int(score >= cell.threshold),
                }
                for score, (probe, gallery) in zip(scores, pairs, strict=True)
            ]
    return rows


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    from pyarrow import Table, parquet  # an extra

    with atomic_path(path) as temporary:
        parquet.write_table(Table.from_pylist(rows), temporary)
