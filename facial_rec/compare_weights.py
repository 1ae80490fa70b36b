"""`python -m facial_rec compare`: two weights files on one folder of faces."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.layout import LayoutError, identify, list_images
from engine.cli import command
from engine.runtime import pick_device
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.face_folder import embed_folder
from facial_rec.refusals import FacesError
from pipeline.scores.verification import auc

_MOST_FACES = 5000


@dataclass(frozen=True)
class CompareConfig:
    """Compare two weights files: cosine of their embeddings, and how well each tells people apart."""

    first: Annotated[str, typer.Argument(help="Weights: a path, a bare name or an hf:// address.")]
    second: Annotated[str, typer.Argument(help="The other weights.")]
    faces: Annotated[Path, typer.Argument(help="Folder of aligned faces; people's folders allow verification.")]
    limit: Annotated[int, typer.Option(min=2, max=_MOST_FACES, help="Faces used, evenly spread.")] = 1000
    batch: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 64
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"


def compare_weights(config: CompareConfig) -> None:
    """Print the comparison."""
    images = list_images(config.faces)
    if len(images) < 2:
        raise FacesError(f"{config.faces}: 1 image; a comparison needs two or more")
    images = [images[row] for row in np.linspace(0, len(images) - 1, min(config.limit, len(images))).astype(int)]
    device = pick_device(config.device)
    embeddings = []
    for name in (config.first, config.second):
        edgeface = EdgeFaceEmbedding(name, device)
        embeddings.append(embed_folder(edgeface, config.faces, images, config.batch, flip=False))
        print(f"{name}: {edgeface.arch}, {edgeface.kind}, sha256 {edgeface.sha256[:12]}")
    cosines = (embeddings[0] * embeddings[1]).sum(1)
    print(f"{len(images)} faces: cosine mean {cosines.mean():.6f}, least {cosines.min():.6f}")
    print(f"largest difference {np.abs(embeddings[0] - embeddings[1]).max():.2e}")
    _print_verification(config, images, embeddings)


def _print_verification(config: CompareConfig, images: list[str], embeddings: list[NDArray[np.float32]]) -> None:
    try:
        people = [face.person for face in identify(config.faces, images, None)[0]]
    except LayoutError:
        print("verification: not known whose faces these are (no people's folders)")
        return
    same, first, second = pairs_of(people)
    if same.all() or not same.any():
        print("verification: needs two people, one of them with two images")
        return
    for name, each in zip((config.first, config.second), embeddings, strict=True):
        scores = (each[first] * each[second]).sum(1)
        print(
            f"{name}: AUC {auc(scores[same], scores[~same]):.5f} ({same.sum()} genuine, {(~same).sum()} impostor pairs)"
        )


def pairs_of(people: list[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return every pair once: whether it shows one person, and its two rows."""
    number = np.unique(people, return_inverse=True)[1]
    first, second = np.triu_indices(len(people), 1)
    return number[first] == number[second], first, second


main = command(
    CompareConfig, compare_weights, example="python -m facial_rec compare edgeface_xxs.pt finetuned.pth faces"
)
if __name__ == "__main__":
    main()
