"""Set several systems against each other on the same faces: reports, or embeddings that another recogniser made."""

import html
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from engine.cli import command
from engine.errors import UserError
from engine.files import read_arrays, write_json, write_text
from engine.text import composed, read_json
from metrics.differences import paired_difference
from pipeline.evaluation.course import Plan, evaluate
from pipeline.evaluation.faces import HR_PX, NATIVE_PX, Split, open_split
from pipeline.evaluation.measures import Json
from pipeline.evaluation.protocols import default_search_plan
from pipeline.evaluation.replicates import read_replicates, replicate_key
from pipeline.evaluation.systems import System
from pipeline.reporting.summary import size_name, value_of

FIGURES = ("tar@far=0.01", "tar@far=0.001", "eer", "fmr", "fnmr", "rank1")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:1100px;margin:24px auto;padding:0 14px;"
    "color-scheme:light dark;background:Canvas;color:CanvasText}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid #8886}div{overflow-x:auto}"
)


class CompareError(UserError):
    """Systems that cannot be set against each other."""


@dataclass(frozen=True)
class CompareConfig:
    """Compare reports and embedding files on the same faces, with paired differences from the first.

    An embedding file is an .npz with `names` (below hr_images, with or without suffix), `embeddings` (N, D) of the
    probes, and perhaps `gallery` (N, D) of the enrolled faces.
    """

    systems: Annotated[
        list[Path],
        typer.Argument(help="Folders of reports (or report.json), or .npz files; the first is the reference."),
    ]
    dataset_root: Annotated[Path, typer.Option(help="Split that the .npz files embed.")] = Path(
        "dataset/test_processed"
    )
    threshold: Annotated[float, typer.Option(min=-1, max=1, help="Threshold for the .npz files.")] = 0.35
    bootstrap: Annotated[int, typer.Option(min=1, help="Replicates, for .npz files; as in the reports.")] = 500
    seed: Annotated[int, typer.Option(min=0, help="Seed, for .npz files; as in the reports.")] = 0
    out: Annotated[Path, typer.Option(help="Folder that receives comparison.html, .json and .md.")] = Path(
        "runs/comparison"
    )


@dataclass(frozen=True)
class Entrant:
    """One row of a report or one file, with its replicates, and what was searched in what."""

    label: str
    size_px: int
    figures: Json
    replicates: dict[str, NDArray[np.float64]]
    data: str
    draws: tuple[int, int]
    searches: Json


def compare(config: CompareConfig) -> None:
    """Compare what `config` names."""
    entrants = [entrant for path in config.systems for entrant in _read(path, config)]
    if len(entrants) < 2:
        raise CompareError("one system only; name two or more reports or .npz files")
    reference = entrants[0]
    for entrant in entrants[1:]:
        _refuse_other_data(reference, entrant)
    rows = [_row(entrant, _reference_of(entrant, entrants)) for entrant in entrants]
    write_json(config.out / "comparison.json", {"schema": "dsr-edgeface/comparison/1", "rows": rows})
    header, table = _table(rows)
    markdown = ["| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *table]]
    write_text(config.out / "comparison.md", "\n".join(markdown) + "\n")
    write_text(config.out / "comparison.html", _page(header, table))
    print("\n".join(markdown))
    print(f"page: {config.out / 'comparison.html'}")


def _read(path: Path, config: CompareConfig) -> list[Entrant]:
    if path.suffix == ".npz":
        return [_read_embeddings(path, config)]
    folder = path.parent if path.name == "report.json" else path
    try:
        report = read_json(folder / "report.json")
        draws = (report["protocol"]["replicates"], report["protocol"]["seed"])
        replicates = read_replicates(folder)
        return [
            Entrant(
                f"{folder.name}: {result['name']}{'' if report['protocol']['flip'] else ', no mirror images'}",
                result["size_px"],
                result,
                {name: replicates[key] for name in FIGURES if (key := replicate_key(result, name)) in replicates},
                report["data"]["sha256"],
                draws,
                _searched(result, report["protocol"].get("searches_sha256"), report["options"].get("distractors")),
            )
            for result in report["results"]
        ]
    except FileNotFoundError:
        raise CompareError(f"{folder}: no report.json in it; name a report's folder or an .npz file") from None
    except (ValueError, KeyError, TypeError):
        raise CompareError(f"{folder / 'report.json'}: not a report of this program; evaluate again") from None


def _read_embeddings(path: Path, config: CompareConfig) -> Entrant:
    split = open_split(config.dataset_root, names_alone=True)
    probes, gallery = _aligned(path, split)
    key = path.stem
    system = System(key, key, "original")
    cells = {(key, NATIVE_PX): probes, ("hr", HR_PX): gallery}
    plan = Plan((NATIVE_PX,), default_search_plan(split.person), None, config.bootstrap, config.seed)
    measured = evaluate(split, [system], cells, {(key, NATIVE_PX): config.threshold}, plan)[0]
    searched = _searched(measured.figures, plan.searches.sha256(None) if plan.searches else None, None)
    draws = config.bootstrap, config.seed
    return Entrant(key, NATIVE_PX, measured.figures, measured.replicates, split.sha256, draws, searched)


def _searched(result: Json, plan: str | None, distractors: str | None) -> Json:
    counts = {name: (result["identification"] or {}).get(name) for name in ("gallery", "mated", "non_mated")}
    return {"plan": plan, "distractors": distractors, **counts}


def _aligned(path: Path, split: Split) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit embeddings in the split's order; faces without one are failures."""
    try:
        file = read_arrays(path)
        names, probes = [str(name) for name in file["names"].ravel()], np.asarray(file["embeddings"], np.float32)
        gallery = np.asarray(file["gallery"], np.float32) if "gallery" in file else probes
    except FileNotFoundError:
        raise CompareError(f"{path}: no such file") from None
    except (ValueError, KeyError, OSError) as error:
        raise CompareError(f"{path}: needs arrays names and embeddings, without pickled objects ({error})") from None
    if probes.ndim != 2 or gallery.shape != probes.shape or len(names) != len(probes):
        raise CompareError(
            f"{path}: {len(names)} names, embeddings {probes.shape}, gallery {gallery.shape}; one row a name"
        )
    row = {key: number for number, key in enumerate(split.keys)}
    places = [row.get(name, row.get(name.rpartition(".")[0])) for name in map(composed, names)]
    found = [(place, number) for number, place in enumerate(places) if place is not None]
    if not found:
        raise CompareError(
            f"{path}: none of its names is in {split.root}; the first is {names[0] if names else '(none)'!r}"
        )
    twice = [split.keys[place] for place, count in Counter(place for place, _ in found).items() if count > 1]
    if twice:
        raise CompareError(
            f"{path}: {len(twice)} faces are named twice, the first is {twice[0]!r}; keep one row of each"
        )
    unknown, lacking = len(names) - len(found), len(split) - len(found)
    if unknown or lacking:
        first = next((name for name, place in zip(names, places, strict=True) if place is None), "")
        print(
            f"{path}: {unknown} of its {len(names)} names are not in {split.root}"
            + (f" (the first is {first!r})" if unknown else "")
            + f"; {lacking} of {len(split)} faces have no embedding in it and count as failed"
        )
    filled = []
    for values in (probes, gallery):
        whole = np.full((len(split), values.shape[1]), np.nan, np.float32)
        length = np.linalg.norm(values, axis=1, keepdims=True)
        units = np.divide(values, length, out=np.full_like(values, np.nan), where=length > 0)
        whole[[place for place, _ in found]] = units[[number for _, number in found]]
        filled.append(whole)
    return filled[0], filled[1]


def _refuse_other_data(first: Entrant, other: Entrant) -> None:
    if other.data != first.data:
        raise CompareError(f"{other.label}: other faces than {first.label}; evaluate both on the same split")
    if other.draws != first.draws:
        raise CompareError(
            f"{other.label}: {other.draws[0]} replicates with seed {other.draws[1]}, {first.label} has "
            f"{first.draws[0]} with {first.draws[1]}; use the same --bootstrap and --seed"
        )


def _reference_of(entrant: Entrant, entrants: list[Entrant]) -> Entrant:
    """Return the first entrant of the same input size; files of unknown size stand beside any."""
    return next(
        other for other in entrants if other.size_px == entrant.size_px or NATIVE_PX in (other.size_px, entrant.size_px)
    )


def _row(entrant: Entrant, reference: Entrant) -> Json:
    figures: Json = {}
    for name in FIGURES:
        entry: Json = {"value": value_of(entrant.figures, name), "against": None}
        alike = name != "rank1" or entrant.searches == reference.searches
        if entrant is not reference and alike and name in entrant.replicates and name in reference.replicates:
            both = (entry["value"], value_of(reference.figures, name))
            entry["against"] = paired_difference(*both, entrant.replicates[name], reference.replicates[name])
        figures[name] = entry
    return {"system": entrant.label, "size_px": entrant.size_px, "reference": reference.label, "figures": figures}


def _table(rows: list[Json]) -> tuple[list[str], list[list[str]]]:
    header = ["System", "Input", *FIGURES]
    return header, [[row["system"], size_name(row["size_px"]), *map(_cell, row["figures"].values())] for row in rows]


def _cell(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return "-"
    text, against = f"{100 * entry['value']:.2f} %", entry["against"]
    if against is None:
        return text
    low, high = against["interval"]
    span = f"{100 * low:+.2f} to {100 * high:+.2f}"
    return f"{text} ({100 * against['difference']:+.2f}, {span}, p {against['p_value']:.3f})"


def _page(header: list[str], table: list[list[str]]) -> str:
    lines = [f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in table]
    head = "".join(f"<th scope='col'>{html.escape(text)}</th>" for text in header)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<link rel='icon' href='data:,'><title>Comparison</title><style>{_STYLE}</style><h1>Comparison</h1>"
        "<p>In brackets: the difference from the first system at the same input size, its 95 % interval (people "
        "resampled, paired) and p-value, in percentage points; of rank 1 where both searched the same gallery.</p>"
        "<div tabindex='0' role='region' aria-label='Comparison'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></html>\n"
    )


main = command(
    CompareConfig, compare, example="python -m pipeline compare runs/evaluation runs/other --out runs/comparison"
)

if __name__ == "__main__":
    main()
