"""Whose faces are these: photographs in, names or "unknown" out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.photographs.align import FACE_PX
from dataset.photographs.seen_faces import FaceReader
from engine.cli import command
from pipeline.recognition.answers import Answer, Identifier
from pipeline.recognition.backends import Backend, RecogniserOptions, open_backend
from pipeline.recognition.gallery_store import Gallery
from pipeline.recognition.passphrase import read_passphrase
from pipeline.recognition.photographs import each, photograph_files
from pipeline.recognition.threshold_option import threshold_at, threshold_option
from pipeline.recognition.together import see_together
from pipeline.threshold_file import ThresholdFile


@dataclass(frozen=True, kw_only=True)
class IdentifyConfig(RecogniserOptions):
    """Search the faces of photographs in a gallery."""

    gallery: Annotated[Path, typer.Argument(help="Gallery file, made by enroll.")]
    photos: Annotated[list[Path], typer.Argument(help="Photographs, aligned crops, and folders of them.")]
    together: Annotated[
        bool, typer.Option("--together", help="One answer for the files given, and one for each folder: one person's.")
    ] = False
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
    """Answer for each face, or once for each person's photographs together; 1 if some photographs failed."""
    named = photograph_files(config.photos)
    recogniser = open_backend(config)
    with Gallery.open(config.gallery, recogniser.model, read_passphrase(config.passphrase_file)) as gallery:
        people, templates = gallery.templates()
        threshold = (
            gallery.threshold
            if config.threshold is None
            else threshold_option(config.threshold, recogniser, config.any_system)
        )
    asked = _Question(
        config,
        recogniser,
        Identifier(people, templates, threshold_at(threshold, FACE_PX)),
        FaceReader(config.min_size, config.threads, config.crops),
        threshold,
    )
    failed = named.tell_problems(asked.tell_failure)
    failed += asked.together(named.people()) if config.together else asked.one_by_one(named.files)
    if not config.json_lines:
        print(f"photographs {len(named)}, failed {failed}; {asked.counted()}; {asked.reader.summary()}")
    return 1 if failed else 0


@dataclass
class _Question:
    """Whose faces they are, by one recogniser in one gallery; counts its answers."""

    config: IdentifyConfig
    recogniser: Backend
    identifier: Identifier
    reader: FaceReader
    threshold: ThresholdFile | float
    named: int = 0
    unknown: int = 0

    def one_by_one(self, files: Iterable[Path]) -> int:
        """Answer for each face of each photograph; return how many photographs failed."""
        return each(files, self._each_face, self.tell_failure)

    def together(self, people: list[list[Path]]) -> int:
        """Answer once for each list of photographs; return how many photographs failed."""
        failed = 0
        for files in people:
            fused, faces = see_together(files, self.reader, self.recogniser, self.tell_failure, self.config.at_size)
            failed += len(files) - len(faces)
            if fused is not None:
                answer = self._answer(fused.embedding, fused.size_px)
                names = [str(path) for path in files]
                record = {"photographs": names, **answer.as_dict(), "size_px": fused.size_px, "moments": fused.moments}
                record["faces"] = [face.place() for face in faces]
                place = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
                words = f"{place} ({fused.frames} faces together, {fused.size_px} px): {answer.words()}"
                self._tell(record, words)
        return failed

    def tell_failure(self, line: str) -> None:
        """Say that a photograph failed."""
        self._tell({"error": line}, line)

    def counted(self) -> str:
        """Return how many answers named somebody."""
        return f"{'people' if self.config.together else 'faces'} named {self.named}, unknown {self.unknown}"

    def _each_face(self, path: Path) -> None:
        faces = self.reader.read(path)
        for number, face in enumerate(faces, 1):
            embedding = self.recogniser.embed(face.tensor(self.config.at_size))[0]
            answer = self._answer(embedding, min(face.size_px, self.config.at_size or face.size_px))
            record = {"photograph": str(path), "face": number, **answer.as_dict(), **face.place()}
            where = f", face {number} of {len(faces)}" if len(faces) > 1 else ""
            self._tell(record, f"{path}{where} ({face}): {answer.words()}")

    def _answer(self, embedding: NDArray[np.float32], size_px: int) -> Answer:
        answer = self.identifier.answer(embedding, threshold_at(self.threshold, size_px))
        self.named, self.unknown = self.named + (answer.person is not None), self.unknown + (answer.person is None)
        return answer

    def _tell(self, record: dict[str, Any], words: str) -> None:
        print(json.dumps(record, ensure_ascii=False) if self.config.json_lines else words, flush=True)


main = command(IdentifyConfig, identify, example="python -m pipeline identify people.gallery photo.jpg")
if __name__ == "__main__":
    main()
