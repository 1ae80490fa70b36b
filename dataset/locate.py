"""Where the faces of photographs are: boxes and landmarks as JSON, or the landmark list that `prepare` takes."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from dataset.photographs.detect import LANDMARKS, DetectedFace, FaceDetector
from dataset.photographs.image_files import read_image
from dataset.photographs.photograph_folders import find_photographs
from engine.cli import command
from engine.errors import UserError
from engine.files import write_text
from engine.text import printable


class LocateError(UserError):
    """A list of no known kind."""


@dataclass(frozen=True)
class LocateConfig:
    """Find the faces of photographs: a .json with every face, or a .csv with the landmarks of the largest."""

    photos: Annotated[Path, typer.Argument(help="A photograph, or a folder of them.")]
    out: Annotated[Path, typer.Option(help="File to write, .csv (for prepare --landmarks) or .json.")] = Path(
        "landmarks.csv"
    )
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    threads: Annotated[int, typer.Option(min=1, help="Threads of the detector.")] = 1


def locate(config: LocateConfig) -> int:
    """Write the list; 1 if some photographs failed or show no face."""
    if config.out.suffix not in (".csv", ".json"):
        raise LocateError(f"--out {config.out}: give a file ending in .csv or .json")
    photographs = find_photographs(config.photos)
    photographs.tell()
    detector = FaceDetector(config.min_size, threads=config.threads)
    found: dict[str, list[DetectedFace]] = {}
    problems = list(photographs.problems.values())
    for name in tqdm(photographs.names, unit="photograph", disable=None):
        path = photographs.root / name
        try:
            found[name] = detector.detect(read_image(path))
        except UserError as error:
            problems.append(str(error))
        else:
            problems += [] if found[name] else [f"{path}: no face found; lower --min-size or leave it out"]
    write_text(config.out, _as_csv(found) if config.out.suffix == ".csv" else _as_json(found))
    for problem in problems:
        print(f"failed: {printable(problem)}")
    seen = sum(1 for faces in found.values() if faces)
    print(f"{seen} of {len(photographs.names)} photographs show a face; wrote {config.out}")
    return 1 if problems else 0


def _as_csv(found: dict[str, list[DetectedFace]]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")])
    rows.writerows([name, *faces[0].landmarks.round(2).ravel().tolist()] for name, faces in found.items() if faces)
    return text.getvalue()


def _as_json(found: dict[str, list[DetectedFace]]) -> str:
    return json.dumps({name: [_record(face) for face in faces] for name, faces in found.items()}, indent=1) + "\n"


def _record(face: DetectedFace) -> dict[str, Any]:
    landmarks = dict(zip(LANDMARKS, face.landmarks.round(2).tolist(), strict=True))
    return {"box": [round(side, 2) for side in face.box], "score": round(face.score, 4), "landmarks": landmarks}


main = command(LocateConfig, locate, example="python -m dataset.locate photos --out landmarks.csv")
if __name__ == "__main__":
    main()
