"""One self-contained HTML page of a report."""

from pathlib import Path

from engine.files import write_text
from pipeline.evaluation import Measured
from pipeline.evaluation_faces import Split
from pipeline.measures import Json


def write_page(path: Path, report: Json, measured: list[Measured], split: Split) -> None:
    """Write the page."""
    write_text(path, "")
