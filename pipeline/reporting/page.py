"""One self-contained HTML page of a report: no network, the figures beside what draws them."""

import base64
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.files import write_text
from pipeline.evaluation.course import Measured
from pipeline.evaluation.faces import HR_PX, Picture, Split
from pipeline.evaluation.measures import Json
from pipeline.reporting.plots import COLOURS

TEMPLATE = "report_page.html"
_SHOWN = 6
_THUMBNAIL_PX = 72


def write_page(path: Path, report: Json, measured: list[Measured], split: Split) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        report: What it shows.
        measured: Cells whose worst comparisons are shown as pictures; none: no pictures at all.
        split: Where the pictures come from.
    """
    shown = [cell for cell in measured if cell.system.key == report["main_system"]]
    pictures = [_pictures_of(cell, split) for cell in shown]
    template = files("pipeline.reporting").joinpath(TEMPLATE).read_text(encoding="utf-8")
    for place, value in (("__REPORT__", report), ("__PICTURES__", pictures), ("__COLOURS__", COLOURS)):
        template = template.replace(place, _embedded(value), 1)
    write_text(path, template)


def _embedded(value: Any) -> str:
    """Return JSON that can stand in a script element whatever names it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _pictures_of(cell: Measured, split: Split) -> Json:
    worst = cell.extremes
    return {
        "system": cell.system.key,
        "size_px": cell.size_px,
        "impostor": _pairs(worst.impostor, worst.impostor_rows, cell.size_px, split),
        "genuine": _pairs(worst.genuine, worst.genuine_rows, cell.size_px, split),
    }


def _pairs(scores: Any, rows: Any, size_px: int, split: Split) -> list[Json]:
    return [
        {
            "score": float(score),
            "gallery": split.keys[gallery],
            "probe": split.keys[probe],
            "gallery_face": _picture(split, gallery, HR_PX),
            "probe_face": _picture(split, probe, size_px),
        }
        for score, (probe, gallery) in zip(scores[:_SHOWN], rows[:_SHOWN], strict=True)
    ]


def _picture(split: Split, row: int, size_px: int) -> str:
    face = split.views(np.array([row]), size_px)[0]
    return _data_address(np.zeros((8, 8, 3), np.uint8) if face is None else face)


def _data_address(face: Picture) -> str:
    """Return a face as a data URL: small ones as they are, large ones as a JPEG thumbnail."""
    image, data = Image.fromarray(face), io.BytesIO()
    if max(image.size) <= _THUMBNAIL_PX:
        image.save(data, "PNG")
        return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    image.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS).save(data, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
