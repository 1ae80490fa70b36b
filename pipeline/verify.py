"""The same person or not: two photographs in, one answer out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import command
from pipeline.recognition.backends import RecogniserOptions, open_backend
from pipeline.recognition.photographs import FaceReader


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(RecogniserOptions):
    """Compare the largest faces of two photographs."""

    first: Annotated[Path, typer.Argument(help="A photograph or an aligned crop.")]
    second: Annotated[Path, typer.Argument(help="Another.")]
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    threshold: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="Lowest score of the same person; else the one measured at export."),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False


def verify(config: VerifyConfig) -> None:
    """Print score, threshold and answer."""
    recogniser = open_backend(config)
    threshold = recogniser.threshold if config.threshold is None else config.threshold
    reader = FaceReader(config.min_size, config.threads)
    faces = [reader.read(path)[0] for path in (config.first, config.second)]
    one, other = (recogniser.embed(face.tensor())[0] for face in faces)
    score = float(one @ other)
    if config.as_json:
        places = [face.place() for face in faces]
        print(json.dumps({"same": score >= threshold, "score": score, "threshold": threshold, "faces": places}))
        return
    answer, side = ("same person", "above") if score >= threshold else ("different people", "below")
    sizes = " and ".join(f"{face.size_px} px" for face in faces)
    print(f"{answer}: {score:.3f}, {side} the threshold {threshold:.3f} ({sizes})")


main = command(VerifyConfig, verify, example="python -m pipeline verify one.jpg other.jpg")
if __name__ == "__main__":
    main()
