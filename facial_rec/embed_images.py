"""`python -m facial_rec embed`: embed the faces of a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dataset.photographs.photograph_folders import find_photographs, tell_failures
from dataset.photographs.seen_faces import FaceReader
from engine import options
from engine.cli import command
from engine.device import pick_device
from engine.files import atomic_path, write_array, write_text
from engine.text import printable
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.embedding_in_batches import embed_folder
from facial_rec.loading.refusals import FacesError
from facial_rec.loading.sources import AUTO, named_weights


@dataclass(frozen=True)
class EmbedConfig:
    """Embed faces into an .npz file with `names`, `embeddings` (N, 512, unit length) and `weights_sha256`.

    With an adapter its hash is `adapter_sha256`, else that is empty. Or into an .npy file of the embeddings alone,
    (N, 512) float32, with a list of the names beside it, one a line, which ends in .txt instead. The largest face of
    each picture is found and aligned; pictures of 112x112, and those of up to 112 px in which no face is found, are
    taken for aligned crops. Photographs that cannot be read or show no face are named and left out; then the exit code
    is 1.
    """

    images: Annotated[Path, typer.Argument(help="An image, or a folder of images (sub-folders included).")]
    out: Annotated[Path, typer.Argument(help="The .npz file to write, or an .npy, which has its list beside it.")]
    edgeface: Annotated[
        str,
        typer.Option(
            help="Weights: a path, a bare name, an hf:// address, or auto: EdgeFace-XXS as published if found, else "
            "the synthetic one that ships."
        ),
    ] = AUTO
    adapter: Annotated[Path | None, typer.Option(help="Adapter made for these weights.")] = None
    batch: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 64
    flip: Annotated[bool, typer.Option(help="Add the mirror image's embedding before normalising.")] = False
    crops: options.Crops = False
    device: options.Device = "auto"


def embed_images(config: EmbedConfig) -> int:
    """Write the embeddings; 1 if some photographs could not be read.

    Raises:
        FacesError: The output is neither an .npz nor an .npy file, or no photograph can be read.
    """
    if config.out.suffix not in (".npz", ".npy"):
        raise FacesError(f"{config.out}: embeddings are written as .npz or .npy; give a name that ends so")
    found = find_photographs(config.images)
    found.tell()
    edgeface = EdgeFaceEmbedding(named_weights(config.edgeface), pick_device(config.device), adapter=config.adapter)
    reader = FaceReader(crops=config.crops, prepared=True)
    embeddings, reasons = embed_folder(edgeface, found.root, found.names, config.batch, config.flip, reader)
    names = [name for name in found.names if name not in reasons]
    if config.out.suffix == ".npy":
        write_text(config.out.with_suffix(".txt"), "".join(f"{printable(name)}\n" for name in names))
        write_array(config.out, embeddings)
    else:
        with atomic_path(config.out) as temporary:
            np.savez(
                temporary,
                names=np.array(names),
                embeddings=embeddings,
                weights_sha256=np.array(edgeface.sha256),
                adapter_sha256=np.array(edgeface.adapter_sha256 or ""),
            )
    print(f"{config.out}: {len(names)} embeddings by {edgeface.arch} ({edgeface.kind}); {reader.summary()}")
    return tell_failures([*found.problems.values(), *reasons.values()])


main = command(
    EmbedConfig, embed_images, example="python -m facial_rec embed faces faces.npz --edgeface edgeface_xxs.pt"
)
if __name__ == "__main__":
    main()
