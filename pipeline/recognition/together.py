"""Several photographs of one person to one embedding."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from dataset.photographs.seen_faces import FaceReader, SeenFace
from pipeline.recognition.backends import Backend
from pipeline.recognition.fusion import Fused, fuse
from pipeline.recognition.photographs import each


def see_together(
    files: Iterable[Path],
    reader: FaceReader,
    recogniser: Backend,
    tell: Callable[[str], None],
    at_px: int | None = None,
) -> tuple[Fused | None, list[SeenFace]]:
    """Fuse the largest faces of photographs.

    Args:
        files: Of one person; one that fails is told in one line and the rest goes on.
        reader: Finds the faces.
        recogniser: Embeds them.
        tell: Takes the lines.
        at_px: Shrink faces to this size first.

    Returns:
        What they say, None where all failed; and the faces, one of each photograph that did not.
    """
    embeddings, faces = [], []

    def see(path: Path) -> None:
        face = reader.read(path)[0]
        embeddings.append(recogniser.embed(face.tensor(at_px))[0])
        faces.append(face)

    each(files, see, tell)
    if not faces:
        return None, faces
    sizes = [min(face.size_px, at_px or face.size_px) for face in faces]
    return fuse(np.stack(embeddings), np.array(sizes)), faces
