"""Embedding the images of a folder, batch by batch; those that cannot be read are named and the others go on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dataset.photographs.image_files import ImageError, read_image
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.refusals import FacesError
from facial_rec.networks.edgeface import INPUT_SIZE_PX


@torch.no_grad()
def embed_folder(
    edgeface: EdgeFaceEmbedding, folder: Path, images: list[str], batch: int, flip: bool
) -> tuple[NDArray[np.float32], dict[str, str]]:
    """Embed aligned faces.

    Args:
        edgeface: The recogniser.
        folder: Where the images are.
        images: Their paths below it; of any size, resized to 112x112.
        batch: Faces at a time.
        flip: Whether to add the mirror image's embedding before normalising.

    Returns:
        (N, 512) unit embeddings of the images that can be read, in the order of `images`, and the reasons of the
        others, by their path below the folder.

    Raises:
        FacesError: None can be read.
    """
    device = next(edgeface.parameters(), torch.zeros(0)).device
    parts = []
    reasons: dict[str, str] = {}
    with tqdm(total=len(images), unit="face", disable=None) as progress:
        for faces in _batches(folder, images, batch, reasons):
            faces = faces.to(device)
            embeddings = edgeface(faces)
            if flip:
                embeddings = F.normalize(embeddings + edgeface(faces.flip(-1)))
            parts.append(embeddings.cpu().numpy())
            progress.update(len(faces))
    if not parts:
        raise FacesError(next(iter(reasons.values()), f"{folder}: no faces; name some"))
    return np.concatenate(parts), reasons


def _batches(folder: Path, images: list[str], batch: int, reasons: dict[str, str]) -> Iterator[Tensor]:
    faces = []
    for image in images:
        try:
            faces.append(_face(folder / image))
        except ImageError as error:
            reasons[image] = str(error)
        if len(faces) == batch:
            yield torch.stack(faces)
            faces = []
    if faces:
        yield torch.stack(faces)


def _face(path: Path) -> Tensor:
    face = torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255
    if face.shape[-2:] == (INPUT_SIZE_PX, INPUT_SIZE_PX):
        return face
    size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
    return F.interpolate(face[None], size, mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)
