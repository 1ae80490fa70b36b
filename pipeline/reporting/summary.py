"""A report in words and in a table."""

from typing import Any

from pipeline.evaluation.faces import HR_PX, NATIVE_PX
from pipeline.evaluation.measures import Json
from pipeline.evaluation.systems import MAIN_SYSTEMS
from pipeline.reporting.frames_table import frames_markdown

FIGURES = {
    "TAR at FAR 1 %": "tar@far=1e-2",
    "TAR at FAR 0.1 %": "tar@far=1e-3",
    "Accuracy on the pairs": "pairs",
    "EER": "eer",
    "FMR at the threshold": "fmr",
    "FNMR at the threshold": "fnmr",
    "Rank 1": "rank1",
}
"""Title of each table to the name of its column in `table_rows`."""


def main_system(report: Json) -> str:
    """Return the key of the system under test."""
    present = {entry["key"] for entry in report["systems"]}
    return next((key for key in MAIN_SYSTEMS if key in present), report["systems"][0]["key"])


def size_name(size_px: int) -> str:
    """Return an input size in words."""
    return "HR" if size_px == HR_PX else "as photographed" if size_px == NATIVE_PX else f"{size_px} px"


def headline(report: Json) -> list[str]:
    """Return a sentence for each input size, one on what full-size faces give, and what became of the target."""
    chosen = main_system(report)
    lines = []
    for result in report["results"]:
        if result["system"] == chosen or result["system"] == "hr":
            rates = result["verification"]["at_threshold"]
            right, false = in_hundred(1 - rates["fnmr"]), one_in(rates["fmr"])
            lines.append(
                f"At {size_name(result['size_px'])} ({result['name']}), {right} comparisons of a person with "
                f"themselves are accepted at threshold {result['threshold']:.3f}, and {false} of two different "
                "people is accepted by mistake."
                if rates["fmr"] > 0
                else f"At {size_name(result['size_px'])} ({result['name']}), {right} comparisons of a person with "
                f"themselves are accepted at threshold {result['threshold']:.3f}, and none of the "
                f"{rates['impostors']:,} comparisons of two different people is."
            )
    shown = (report["main_system"], "hr")
    return lines + [entry["text"] for entry in report["target_kept"] if entry["system"] in shown]


def target_kept(report: Json) -> list[Json]:
    """Say of each row whether a FAR chosen on other people holds on these, and what it means in a gallery of 100."""
    target = report["threshold"]["target"].removeprefix("far=")
    if target == report["threshold"]["target"]:
        return []
    wanted, lines = float(target), []
    chosen_on = {(entry["system"], entry["size_px"]): entry for entry in report["threshold"]["development"]}
    for result in report["results"]:
        rates, before = result["verification"]["at_threshold"], chosen_on[result["system"], result["size_px"]]
        span = rates.get("fmr_interval")
        verdict = _against_target(wanted, span) if span else f"the target was {100 * wanted:g} %"
        hundred = 1 - (1 - rates["fmr"]) ** 100
        text = (
            f"At {size_name(result['size_px'])} ({result['name']}), threshold {result['threshold']:.3f} was chosen on "
            f"other people, where it accepted {one_in(before['fmr'])} of two; here it accepts "
            f"{one_in(rates['fmr'])}: {verdict}. A stranger searched among 100 people would be taken for one of them "
            f"about {100 * hundred:.0f} times in 100."
        )
        lines.append({"system": result["system"], "size_px": result["size_px"], "text": text})
    return lines


def _against_target(wanted: float, span: list[float]) -> str:
    low, high = span
    between = f"95 % interval {100 * low:.3g} to {100 * high:.3g} %"
    if low <= wanted <= high:
        return f"the target of {100 * wanted:g} % lies in the {between}"
    return f"{'more' if low > wanted else 'less'} than the target of {100 * wanted:g} % ({between})"


def lead(report: Json) -> str:
    """Return the one sentence that a reader should take away."""
    results = [result for result in report["results"] if result["system"] == report["main_system"]]
    chosen = next((result for result in results if result["size_px"] == 16), results[len(results) // 2])
    at_one = next(entry for entry in chosen["verification"]["tar_at_far"] if entry["target_far"] == 1e-2)
    if at_one["tar"] is None:
        return "There are too few comparisons to say how often a person is accepted where one stranger in 100 is."
    span = at_one.get("interval")
    between = f" (95 % interval {100 * span[0]:.1f} to {100 * span[1]:.1f})" if span else ""
    return (
        f"At {size_name(chosen['size_px'])}, {chosen['name']} accepts {in_hundred(at_one['tar'])} comparisons of a "
        f"person with themselves{between} at the threshold that accepts at most one in 100 of two different people."
    )


def index_check(report: Json) -> str | None:
    """Say how far searches through an index agreed with exact ones, in the row where they did least; None without."""
    checked = [
        (result["identification"]["index"]["agreeing"], result)
        for result in report["results"]
        if result["identification"] and result["identification"]["index"]
    ]
    if not checked:
        return None
    agreeing, result = min(checked, key=lambda entry: entry[0])
    index = result["identification"]["index"]
    right, row = round(agreeing * index["checked"]), f"{result['name']}, {size_name(result['size_px'])}"
    return (
        f"Searches went through a compressed index ({index['index']}), which may overlook a template and so flatter "
        f"the ranks. Against the exact search it gave the same answer for {right} of {index['checked']} probes in the "
        f"row where it agreed least ({row})."
    )


def in_hundred(share: float) -> str:
    """Return a share as a count of 100, with a decimal near the ends."""
    value = 100 * share
    return f"{value:.1f} of 100" if value < 10 or value > 90 else f"{value:.0f} of 100"


def one_in(share: float) -> str:
    """Return a small share as one in so many."""
    return f"one comparison in {round(1 / share):,}" if share > 0 else "no comparison"


def value_of(result: Json, figure: str) -> float | None:
    """Return a figure of a result by the name that its replicates have; None where it is not measurable."""
    verification = result["verification"]
    if figure == "eer":
        return float(verification["eer"]["value"])
    if figure == "rank1":
        return float(result["identification"]["cmc"][0]) if result["identification"] else None
    if figure == "pairs":
        mean = (result["pairs"] or {}).get("mean")
        return None if mean is None else float(mean)
    if figure in ("fmr", "fnmr"):
        return float(verification["at_threshold"][figure])
    tar = next(entry["tar"] for entry in verification["tar_at_far"] if figure == f"tar@far={entry['target_far']:g}")
    return None if tar is None else float(tar)


def table_rows(report: Json, shown: bool = False) -> list[dict[str, Any]]:
    """Return one flat row a cell: numbers for a file, or text for people."""
    return [_shown(row) if shown else row for row in map(_row, report["results"])]


def summary_markdown(report: Json) -> str:
    """Return the report as Markdown: words, table of controls, differences, set-up."""
    lines = ["# Evaluation", "", *[f"- {line}" for line in report["headline"]], ""]
    data, threshold = report["data"], report["threshold"]
    lines += [
        f"{data['images']} images of {data['people']} people ({data['people_with_one_image']} with one image) in "
        f"`{data['root']}`. Gallery: {report['protocol']['gallery']}. "
        f"Mirror images {'added' if report['protocol']['flip'] else 'not used'}.",
        "",
        f"Threshold `{threshold['target']}`: {threshold['origin']}. Accept when score >= threshold. "
        "Intervals: 95 %, people resampled, threshold recomputed; thresholds of listed pairs stay.",
        "",
        *_tables_by_size(report),
    ]
    lines += ["", report["index_check"]] if report["index_check"] else []
    if report["differences"]:
        lines += ["", "## Paired differences", "", *_difference_table(report)]
    lines += frames_markdown(report["frames"])
    if report["absent"]:
        lines += ["", "## Absent rows", "", *[f"- {entry['name']}: {entry['reason']}" for entry in report["absent"]]]
    if report["failures"]:
        lines += ["", f"{len(report['failures'])} images could not be read; they count as errors."]
    lines += ["", "## Set-up", "", f"    {report['command']}", ""]
    lines += [f"- {role}: `{entry['path']}` ({entry['sha256'][:12]})" for role, entry in report["weights"].items()]
    return "\n".join([*lines, f"- data: `{data['sha256'][:12]}`", ""])


def _tables_by_size(report: Json) -> list[str]:
    """Return a table of systems by input sizes for each figure, and one of the full-size rows."""
    rows, lines = list(zip(table_rows(report), table_rows(report, shown=True), strict=True)), []
    sizes = sorted({row["size_px"] for row, _ in rows} - {HR_PX})
    for title, name in FIGURES.items():
        cells = {(row["system"], row["size_px"]): text[name] for row, text in rows}
        if set(cells.values()) == {"-"}:
            continue
        low = {row["system"]: text["name"] for row, text in rows if row["size_px"] != HR_PX}
        body = [[shown, *(cells.get((system, size), "-") for size in sizes)] for system, shown in low.items()]
        lines += [f"## {title}", "", *_markdown([title, *map(size_name, sizes)], body), ""]
    lines += [f"Pairs: {report['protocol']['pairs_threshold']}.", ""] if report["protocol"]["pairs"] else []
    full = [[text["name"], *(text[name] for name in FIGURES.values())] for row, text in rows if row["size_px"] == HR_PX]
    return [*lines, "## Full size", "", *_markdown(["System", *FIGURES], full)]


def _markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]


def _difference_table(report: Json) -> list[str]:
    lines = ["| Input | System | against | figure | difference | 95 % | p |", "| --- " * 7 + "|"]
    for entry in report["differences"]:
        low, high = entry.get("interval") or (None, None)
        span = f"[{low:+.4f}, {high:+.4f}]" if low is not None else "-"
        lines.append(
            f"| {size_name(entry['size_px'])} | {entry['system']} | {entry['reference']} | {entry['figure']} "
            f"| {entry['difference']:+.4f} | {span} | {entry['p_value']:.3g} |"
        )
    return lines


def _row(result: Json) -> dict[str, Any]:
    verification, search, pairs = result["verification"], result["identification"], result["pairs"] or {}
    rates = verification["at_threshold"]
    row: dict[str, Any] = {"system": result["system"], "name": result["name"], "size_px": result["size_px"]}
    for name in ("tar", "far", "threshold"):
        for entry in verification["tar_at_far"]:
            row[f"{name}@far={_exponent(entry['target_far'])}"] = entry[name]
    for entry in verification["tar_at_far"]:
        row |= _limits(f"tar@far={_exponent(entry['target_far'])}", entry.get("interval"))
    row |= {"eer": verification["eer"]["value"], **_limits("eer", verification["eer"].get("interval"))}
    row |= {"auc": verification["auc"], "d_prime": verification["d_prime"], "threshold": result["threshold"]}
    row |= {"fmr": rates["fmr"], **_limits("fmr", rates.get("fmr_interval"))}
    row |= {"fnmr": rates["fnmr"], **_limits("fnmr", rates.get("fnmr_interval"))}
    row |= {"genuines": verification["genuines"], "impostors": verification["impostors"], "failed": result["failed"]}
    row["rank1"] = search["cmc"][0] if search else None
    row["rank5"] = search["cmc"][min(4, len(search["cmc"]) - 1)] if search else None
    row |= {"pairs_mean": pairs.get("mean"), "pairs_sd": pairs.get("sd"), "pairs_sem": pairs.get("sem")}
    row |= _limits("pairs_mean", pairs.get("interval"))
    row["pairs_best"] = pairs["verification"]["best_accuracy"] if "verification" in pairs else None
    return row


def _limits(name: str, found: list[float] | tuple[float, float] | None) -> dict[str, Any]:
    low, high = found or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _shown(row: dict[str, Any]) -> dict[str, str]:
    text = {"name": row["name"], "size": size_name(row["size_px"])}
    for name in ("tar@far=1e-2", "tar@far=1e-3", "eer", "fmr", "fnmr"):
        text[name] = _with_interval(row, name)
    text["auc"] = f"{row['auc']:.4f}"
    text["rank1"] = "-" if row["rank1"] is None else f"{100 * row['rank1']:.1f} %"
    text["pairs"] = "-" if row["pairs_mean"] is None else _with_interval(row, "pairs_mean")
    if row["pairs_mean"] is None and row["pairs_best"] is not None:
        text["pairs"] = f"{100 * row['pairs_best']:.1f} % at best"
    return text


def _with_interval(row: dict[str, Any], name: str) -> str:
    if row[name] is None:
        return "not measurable"
    digits = 3 if name == "fmr" else 1
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    span = "" if low is None else f" [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"
    return f"{100 * row[name]:.{digits}f} %{span}"


def _exponent(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")
