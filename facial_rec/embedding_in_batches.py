"""Embedding the images of a folder, batch by batch; those that cannot be read are named and the others go on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dataset.photographs.seen_faces import FaceReader, SeenFace
from engine.errors import UserError
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.refusals import FacesError
from facial_rec.networks.edgeface import INPUT_SIZE_PX


@torch.no_grad()
def embed_folder(
    edgeface: EdgeFaceEmbedding, folder: Path, images: list[str], batch: int, flip: bool, reader: FaceReader
) -> tuple[NDArray[np.float32], dict[str, str]]:
    """Embed the largest face of each image.

    Args:
        edgeface: The recogniser.
        folder: Where the images are.
        images: Their paths below it.
        batch: Faces at a time.
        flip: Whether to add the mirror image's embedding before normalising.
        reader: Finds and aligns their faces; crops are resized to 112x112.

    Returns:
        (N, 512) unit embeddings of the images that can be read and show a face, in the order of `images`, and the
        reasons of the others, by their path below the folder.

    Raises:
        FacesError: There are none.
    """
    device = next(edgeface.parameters(), torch.zeros(0)).device
    parts = []
    reasons: dict[str, str] = {}
    with tqdm(total=len(images), unit="face", disable=None) as progress:
        for faces in _batches(folder, images, batch, reasons, reader):
            faces = faces.to(device)
            embeddings = edgeface(faces)
            if flip:
                embeddings = F.normalize(embeddings + edgeface(faces.flip(-1)))
            parts.append(embeddings.cpu().numpy())
            progress.update(len(faces))
    if not parts:
        raise FacesError(next(iter(reasons.values()), f"{folder}: no faces; name some"))
    return np.concatenate(parts), reasons


def _batches(
    folder: Path, images: list[str], batch: int, reasons: dict[str, str], reader: FaceReader
) -> Iterator[Tensor]:
    faces = []
    for image in images:
        try:
            faces.append(_at_input_size(reader.read(folder / image)[0]))
        except UserError as error:
            reasons[image] = str(error)
        if len(faces) == batch:
            yield torch.stack(faces)
            faces = []
    if faces:
        yield torch.stack(faces)


def _at_input_size(seen: SeenFace) -> Tensor:
    face = torch.from_numpy(seen.tensor())
    if face.shape[-2:] == (INPUT_SIZE_PX, INPUT_SIZE_PX):
        return face[0]
    size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
    return F.interpolate(face, size, mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)
