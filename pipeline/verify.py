"""The same person or not: two photographs in, one answer out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dataset.photographs.seen_faces import FaceReader
from engine.cli import command
from pipeline.recognition.backends import RecogniserOptions, open_backend
from pipeline.recognition.threshold_option import threshold_at, threshold_option


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(RecogniserOptions):
    """Compare the largest faces of two photographs."""

    first: Annotated[Path, typer.Argument(help="A photograph or an aligned crop.")]
    second: Annotated[Path, typer.Argument(help="Another.")]
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    threshold: Annotated[
        str | None,
        typer.Option(help="Lowest score of the same person: a number, or @FILE; else that of the export."),
    ] = None
    any_system: Annotated[bool, typer.Option(help="Take a threshold file that was chosen for another system.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False


def verify(config: VerifyConfig) -> None:
    """Print score, threshold and answer."""
    recogniser = open_backend(config)
    chosen = (
        recogniser.threshold
        if config.threshold is None
        else threshold_option(config.threshold, recogniser, config.any_system)
    )
    reader = FaceReader(config.min_size, config.threads, config.crops)
    faces = [reader.read(path)[0] for path in (config.first, config.second)]
    threshold = threshold_at(chosen, min(face.size_px for face in faces))
    one, other = (recogniser.embed(face.tensor())[0] for face in faces)
    score = float(one @ other)
    if config.as_json:
        places = [face.place() for face in faces]
        print(json.dumps({"same": score >= threshold, "score": score, "threshold": threshold, "faces": places}))
        return
    answer, side = ("same person", "above") if score >= threshold else ("different people", "below")
    sizes = " and ".join(map(str, faces))
    print(f"{answer}: {score:.3f}, {side} the threshold {threshold:.3f} ({sizes}); {reader.summary()}")


main = command(VerifyConfig, verify, example="python -m pipeline verify one.jpg other.jpg")
if __name__ == "__main__":
    main()
