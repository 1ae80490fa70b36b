"""Enrol people: photographs in, templates in a gallery."""

import json
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Annotated

import typer

from dataset.photographs.seen_faces import FaceReader, PhotographError, SeenFace
from engine.cli import command
from engine.files import sha256_of
from pipeline.recognition.backends import RecogniserOptions, open_backend
from pipeline.recognition.gallery_store import Gallery, GalleryError, person_name
from pipeline.recognition.passphrase import read_passphrase
from pipeline.recognition.photographs import each, photograph_files


@dataclass(frozen=True, kw_only=True)
class EnrollConfig(RecogniserOptions):
    """Enrol people's photographs in a gallery; the largest face of each photograph is taken."""

    gallery: Annotated[Path, typer.Argument(help="Gallery file; made if it is not there.")]
    photos: Annotated[
        list[Path],
        typer.Argument(help="Folders of people's folders; or with --name photographs and folders of one person."),
    ]
    name: Annotated[str | None, typer.Option(help="Whose photographs all of them are.")] = None
    min_size: Annotated[int, typer.Option(min=12, help="Smallest face to look for, in pixels.")] = 20
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Of a new gallery; without it, the one measured at export.")
    ] = None
    passphrase_file: Annotated[Path | None, typer.Option(help="Encrypt templates; the file's first line.")] = None
    json_lines: Annotated[bool, typer.Option("--json", help="Print one JSON object a photograph.")] = False


def enroll(config: EnrollConfig) -> int:
    """Enrol photograph after photograph, each in a transaction of its own; 1 if some failed."""
    named = photograph_files(config.photos)
    recogniser = open_backend(config)
    passphrase = read_passphrase(config.passphrase_file)
    if not config.gallery.exists():
        threshold = recogniser.threshold if config.threshold is None else config.threshold
        Gallery.create(config.gallery, recogniser.model, threshold, passphrase)
    reader = FaceReader(config.min_size, config.threads, config.crops)
    added = 0
    with Gallery.open(config.gallery, recogniser.model, passphrase) as gallery:
        if config.threshold is not None and not isclose(config.threshold, gallery.threshold, abs_tol=1e-9):
            raise GalleryError(
                f"{config.gallery}: its threshold is {gallery.threshold:g}, --threshold {config.threshold:g} is for a "
                "new gallery; leave it out here, and give it to identify"
            )

        def enroll_one(path: Path) -> None:
            nonlocal added
            person = person_name(config.name or _folder_name(path, named.files[path]))
            faces = reader.read(path)
            face = faces[0]
            embedding = recogniser.embed(face.tensor())[0]
            is_new = gallery.add(person, embedding, sha256_of(path), face.quality, face.size_px)
            added += is_new
            record = {"photograph": str(path), "person": person, "new": is_new, "faces": len(faces), **face.place()}
            _tell(record, face, config.json_lines)

        def tell_failure(line: str) -> None:
            print(json.dumps({"error": line}, ensure_ascii=False) if config.json_lines else line, flush=True)

        failed = named.tell_problems(tell_failure) + each(named.files, enroll_one, tell_failure)
        people = len({enrolment.person for enrolment in gallery.enrolments()})
    if not config.json_lines:
        print(
            f"{added} of {len(named)} photographs enrolled, {len(named) - added - failed} were there already, "
            f"{failed} failed; {people} people in {config.gallery}; {reader.summary()}"
        )
    return 1 if failed else 0


def _tell(record: dict[str, object], face: SeenFace, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, ensure_ascii=False), flush=True)
        return
    verb = "enrolled as" if record["new"] else "already enrolled as"
    others = f", the largest of {record['faces']} faces" if record["faces"] != 1 else ""
    print(f"{record['photograph']}: {verb} {record['person']} ({face}{others})", flush=True)


def _folder_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).parts if root.is_dir() else ()
    if len(parts) < 2:
        raise PhotographError(f"{path}: whose face? put it in a folder named after the person, or give --name")
    return parts[0]


main = command(EnrollConfig, enroll, example="python -m pipeline enroll people.gallery photos")
if __name__ == "__main__":
    main()
