"""What several frames are worth, as a table for people and as rows for a CSV."""

from typing import Any

from pipeline.evaluation.measures import Json

WORTH = (
    "Frames are different photographs of a person: more independent than the frames of a video, so that a gain is the "
    "most that so many frames can bring. Rows of more frames are of fewer people; each stands beside one frame of the "
    "same. Intervals: 95 %, people resampled."
)


def frames_markdown(rows: list[Json]) -> list[str]:
    """Return the section of a summary; nothing where no frames were fused."""
    if not rows:
        return []
    header = ["Input", "Frames", "Way", "Rank 1", "TAR at FAR 1 %", "TAR at FAR 0.1 %", "Gain at FAR 1 %", "People"]
    lines = [header, ["---"] * len(header), *map(_cells, rows)]
    return ["", "## Several frames", "", WORTH, "", *("| " + " | ".join(line) + " |" for line in lines)]


def frames_csv_rows(rows: list[Json]) -> list[dict[str, Any]]:
    """Return flat rows."""
    flat = []
    for row in rows:
        line = {name: row[name] for name in ("size", "frames", "way", "probes", "people", "rank1")}
        line |= _limits("rank1", row["rank1_interval"])
        for entry in row["tar"]:
            name = f"tar@far={entry['target_far']:g}"
            line |= {name: entry["tar"], **_limits(name, entry["interval"])}
        gain = row.get("gain") or {}
        flat.append(line | {"gain": gain.get("difference")} | _limits("gain", gain.get("interval")))
    return flat


def _cells(row: Json) -> list[str]:
    gain = row.get("gain")
    size = row["size"] if isinstance(row["size"], str) else f"{row['size']} px"
    tars = [_rate(entry["tar"], entry["interval"]) for entry in row["tar"]]
    gained = "-" if gain is None else f"{100 * gain['difference']:+.1f}{_span(gain['interval'], '+')}"
    rank1 = _rate(row["rank1"], row["rank1_interval"])
    return [size, str(row["frames"]), row["way"], rank1, *tars, gained, str(row["people"])]


def _rate(value: float | None, limits: tuple[float, float] | None) -> str:
    return "not measurable" if value is None else f"{100 * value:.1f}{_span(limits)}"


def _span(limits: tuple[float, float] | None, sign: str = "") -> str:
    return "" if limits is None else f" [{100 * limits[0]:{sign}.1f}, {100 * limits[1]:{sign}.1f}]"


def _limits(name: str, limits: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = limits or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
