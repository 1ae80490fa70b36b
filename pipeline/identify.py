"""Whose faces are these: photographs in, names or "unknown" out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset.photographs.align import FACE_PX
from dataset.photographs.seen_faces import FaceReader
from engine.cli import command
from pipeline.recognition.answers import Identifier
from pipeline.recognition.backends import RecogniserOptions, open_backend
from pipeline.recognition.gallery_store import Gallery
from pipeline.recognition.passphrase import read_passphrase
from pipeline.recognition.photographs import each, photograph_files
from pipeline.recognition.threshold_option import threshold_at, threshold_option


@dataclass(frozen=True, kw_only=True)
class IdentifyConfig(RecogniserOptions):
    """Search the faces of photographs in a gallery."""

    gallery: Annotated[Path, typer.Argument(help="Gallery file, made by enroll.")]
    photos: Annotated[Path, typer.Argument(help="A photograph, an aligned crop, or a folder of them.")]
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    at_size: Annotated[
        int | None, typer.Option(min=6, max=112, help="Shrink faces to this size first, to see how far it carries.")
    ] = None
    threshold: Annotated[
        str | None,
        typer.Option(help="Lowest score that names a person: a number, or @FILE; else the gallery's."),
    ] = None
    any_system: Annotated[bool, typer.Option(help="Take a threshold file that was chosen for another system.")] = False
    passphrase_file: Annotated[Path | None, typer.Option(help="For encrypted templates; its first line.")] = None
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object a face.")] = False


def identify(config: IdentifyConfig) -> int:
    """Answer for each face of each photograph; 1 if some photographs failed."""
    files = photograph_files(config.photos)
    recogniser = open_backend(config)
    with Gallery.open(config.gallery, recogniser.model, read_passphrase(config.passphrase_file)) as gallery:
        people, templates = gallery.templates()
        threshold = (
            gallery.threshold
            if config.threshold is None
            else threshold_option(config.threshold, recogniser, config.any_system)
        )
    identifier = Identifier(people, templates, threshold_at(threshold, FACE_PX))
    reader = FaceReader(config.min_size, config.threads, config.crops)
    named = unknown = 0

    def identify_one(path: Path) -> None:
        nonlocal named, unknown
        faces = reader.read(path)
        for number, face in enumerate(faces, 1):
            seen_px = min(face.size_px, config.at_size or face.size_px)
            embedding = recogniser.embed(face.tensor(config.at_size))[0]
            answer = identifier.answer(embedding, threshold_at(threshold, seen_px))
            named, unknown = named + (answer.person is not None), unknown + (answer.person is None)
            record = {"photograph": str(path), "face": number, **answer.as_dict(), **face.place()}
            where = f", face {number} of {len(faces)}" if len(faces) > 1 else ""
            _tell(record, f"{path}{where} ({face}): {answer.words()}", config.json_lines)

    failures = each(files, identify_one, lambda line: _tell({"error": line}, line, config.json_lines))
    if not config.json_lines:
        print(
            f"photographs {len(files)}, failed {len(failures)}; faces named {named}, unknown {unknown}; "
            f"{reader.summary()}"
        )
    return 1 if failures else 0


def _tell(record: dict[str, Any], words: str, as_json: bool) -> None:
    print(json.dumps(record, ensure_ascii=False) if as_json else words, flush=True)


main = command(IdentifyConfig, identify, example="python -m pipeline identify people.gallery photo.jpg")
if __name__ == "__main__":
    main()
