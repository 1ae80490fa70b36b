"""The same person or not: photographs in, an answer for each or one for all out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset.photographs.seen_faces import FaceReader
from engine.cli import command
from pipeline.recognition.backends import RecogniserOptions, open_backend
from pipeline.recognition.fusion import Fused
from pipeline.recognition.photographs import photograph_files
from pipeline.recognition.threshold_option import threshold_at, threshold_option
from pipeline.recognition.together import see_together


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(RecogniserOptions):
    """Compare the largest faces of photographs with that of a first one."""

    first: Annotated[
        Path, typer.Argument(help="A photograph or an aligned crop; or a folder of one person's, taken together.")
    ]
    others: Annotated[list[Path], typer.Argument(help="Photographs, and folders of them; each is compared with it.")]
    together: Annotated[
        bool, typer.Option("--together", help="One answer for the others given, and one for each folder of them.")
    ] = False
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    threshold: Annotated[
        str | None,
        typer.Option(help="Lowest score of the same person: a number, or @FILE; else that of the export."),
    ] = None
    any_system: Annotated[bool, typer.Option(help="Take a threshold file that was chosen for another system.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False


def verify(config: VerifyConfig) -> int:
    """Print score, threshold and answer of each comparison; 1 if some photographs failed."""
    known, others = photograph_files([config.first]), photograph_files(config.others)
    recogniser = open_backend(config)
    chosen = (
        recogniser.threshold
        if config.threshold is None
        else threshold_option(config.threshold, recogniser, config.any_system)
    )
    reader = FaceReader(config.min_size, config.threads, config.crops)

    def tell(record: dict[str, Any], words: str) -> None:
        print(json.dumps(record, ensure_ascii=False) if config.as_json else words, flush=True)

    def tell_failure(line: str) -> None:
        tell({"error": line}, line)

    failed = known.tell_problems(tell_failure) + others.tell_problems(tell_failure)
    one, known_faces = see_together(known.files, reader, recogniser, tell_failure)
    if one is None:
        return 1
    failed += len(known.files) - len(known_faces)
    for files in others.people() if config.together else [[path] for path in others.files]:
        other, faces = see_together(files, reader, recogniser, tell_failure)
        failed += len(files) - len(faces)
        if other is not None:
            record, words = _said(one, other, threshold_at(chosen, min(one.size_px, other.size_px)))
            sides = [[face.place() for face in side] for side in (known_faces, faces)]
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            tell({"photographs": [str(path) for path in files], **record, "faces": sides}, f"{files[0]}{more}: {words}")
    if not config.as_json:
        print(reader.summary())
    return 1 if failed else 0


def _said(one: Fused, other: Fused, threshold: float) -> tuple[dict[str, Any], str]:
    """Return a comparison as plain JSON values and in words."""
    score = float(one.embedding @ other.embedding)
    same = score >= threshold
    answer, place = ("same person", "above") if same else ("different people", "below")
    sizes = " and ".join(
        f"{side.size_px} px" + (f" in {side.frames} faces together" if side.frames > 1 else "") for side in (one, other)
    )
    words = f"{answer}, {score:.3f}, {place} the threshold {threshold:.3f} ({sizes})"
    return {"same": same, "score": score, "threshold": threshold}, words


main = command(VerifyConfig, verify, example="python -m pipeline verify one.jpg other.jpg")
if __name__ == "__main__":
    main()
