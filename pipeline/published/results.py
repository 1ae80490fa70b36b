"""The results of a published protocol: a table on the screen, JSON, and a summary in Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.files import write_json, write_text
from pipeline.evaluation.measures import Json
from pipeline.published.published_set import ALL

REPORT, SUMMARY = "report.json", "summary.md"
_NOT_FIGURES = {"trial", "system", "name", "condition", "group", "count", "genuine", "folds", "accuracy_sd"}
_COSINES = {"genuine_mean": "mean score, one person", "impostor_mean": "mean score, two people"}
_TITLES = {"accuracy": "accuracy", "auc": "AUC", "eer": "EER", "map": "mAP", **_COSINES}


def column_title(figure: str) -> str:
    """Return the name of a figure for people: `tar@far=0.01` is TAR at FAR 1 %."""
    name, _, rate = figure.partition("@")
    if rate:
        kind, _, value = rate.partition("=")
        return f"{name.upper()} at {kind.upper()} {100 * float(value):g} %"
    return f"rank {name.removeprefix('rank')}" if name.startswith("rank") else _TITLES[name]


def shown(row: Json, figure: str) -> str:
    """Return a figure: rates in percent, similarities as they are."""
    value = row.get(figure)
    if value is None:
        return "-"
    if figure in _COSINES:
        return f"{value:.3f}"
    spread = f" ± {100 * row['accuracy_sd']:.2f}" if figure == "accuracy" and "accuracy_sd" in row else ""
    return f"{100 * value:.2f}{spread}"


def tables(report: Json) -> Iterable[tuple[str, list[list[str]]]]:
    """Yield the title and the lines of each table, the header first: a trial's systems, then its groups."""
    for title in dict.fromkeys(row["trial"] for row in report["results"]):
        rows = [row for row in report["results"] if row["trial"] == title]
        figures = list(dict.fromkeys(key for row in rows for key in row if key not in _NOT_FIGURES))
        for split in (False, True):
            chosen = [row for row in rows if (row["group"] != ALL) == split]
            if chosen:
                what = f"{title}, by part" if split else title
                yield what, _lines(chosen, figures, split, len({row["condition"] for row in rows}) > 1)


def _lines(rows: Sequence[Json], figures: list[str], split: bool, several: bool) -> list[list[str]]:
    order = {name: number for number, name in enumerate(dict.fromkeys(row["group"] for row in rows))}
    if split:
        rows = sorted(rows, key=lambda row: order[row["group"]])
    header = [*(["part"] if split else []), "system", *(["faces"] if several else []), "count"]
    lines = [[*header, *map(column_title, figures)]]
    for row in rows:
        names = [*([row["group"]] if split else []), row["name"], *([row["condition"]] if several else [])]
        lines.append([*names, f"{row['count']:,}", *(shown(row, figure) for figure in figures)])
    return lines


def print_results(report: Json) -> None:
    """Print the tables and what is to be known with them."""
    print(f"{report['protocol']}: {report['what']}")
    print(f"native sizes: {_counted(report['native_px'])}")
    print(f"pictures: {_counted(report['taken'])}")
    for note in report["notes"]:
        print(f"note: {note}")
    for title, lines in tables(report):
        print(f"\n{title} (in percent; scores are cosines)")
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    if report["failures"]:
        print(f"\n{len(report['failures'])} faces could not be read; they count as errors and stand in {REPORT}")


def write_results(folder: Path, report: Json) -> None:
    """Write report.json and summary.md."""
    write_json(folder / REPORT, report)
    lines = [f"# {report['protocol']}: {report['what']}", "", f"Native sizes: {_counted(report['native_px'])}.", ""]
    lines += [f"Pictures: {_counted(report['taken'])}.", ""]
    lines += [line for note in report["notes"] for line in (f"Note: {note}.", "")]
    if report["failures"]:
        lines += [f"{len(report['failures'])} faces could not be read; they count as errors.", ""]
    for title, table in tables(report):
        rule = ["---"] * len(table[0])
        lines += [f"## {title}", "", "In percent; scores are cosines.", ""]
        lines += ["| " + " | ".join(cells) + " |" for cells in [table[0], rule, *table[1:]]]
        lines.append("")
    lines += ["## Set-up", "", f"    {report['command']}", ""]
    lines += [f"- {role}: `{entry['path']}` ({entry['sha256'][:12]})" for role, entry in report["weights"].items()]
    write_text(folder / SUMMARY, "\n".join([*lines, f"- data: `{report['data_sha256'][:12]}`", ""]))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "none"
