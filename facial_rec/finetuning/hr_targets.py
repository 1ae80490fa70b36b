"""HR embeddings of a whole store, computed once: an image and its mirror image never change."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from dataset.joined_store import TrainingFaces
from engine.files import user_cache, writable_folder, write_array
from facial_rec.embedding import EdgeFaceEmbedding

BATCH = 64


class HrTargets:
    """Unit embeddings of every face of a store and of its mirror image.

    They are kept for the next run, under the hashes of the weights and of the faces: beside the store, or in the
    user's cache or `folder` where the store may not be written.

    Args:
        recogniser: Frozen.
        store: The faces; 2 KB of float16 a face are kept on the device.
        device: Where the recogniser is.
        folder: One that can be written for certain: the run's.
    """

    def __init__(self, recogniser: EdgeFaceEmbedding, store: TrainingFaces, device: torch.device, folder: Path) -> None:
        name = f"hr_targets_{recogniser.sha256[:16]}_{store.sha256[:16]}.npy"
        places = (store.path, user_cache(), folder)
        found = (_read(place / name, len(store)) for place in places)
        kept = next((each for each in found if each is not None), None)
        if kept is not None:
            self._embeddings = kept.to(device)
            return
        place = writable_folder(places[0], "the cache of full-size embeddings", *places[1:])
        self._embeddings = _embed_all(recogniser, store, device)
        write_array(place / name, self._embeddings.cpu().numpy())

    def at(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """Return (B, D) float32 for rows (B,) int64, of the mirror image where `mirrored` (B,) is True."""
        return self._embeddings[mirrored.long(), rows].float()


def _read(path: Path, count: int) -> Tensor | None:
    """Return the embeddings of `count` faces that a file holds, or None if it is missing or damaged."""
    try:
        kept = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(kept, np.ndarray) and kept.ndim == 3 and kept.shape[:2] == (2, count)
    return torch.from_numpy(kept) if fits and kept.dtype == np.float16 else None


@torch.no_grad()
def _embed_all(recogniser: nn.Module, store: TrainingFaces, device: torch.device) -> Tensor:
    """Return (2, N, D) float16: the faces, then their mirror images."""
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    starts = range(0, len(store), BATCH)
    for start in tqdm(starts, desc="HR targets", unit="batch", disable=len(starts) < 20):
        store.expect(np.arange(start + BATCH, min(start + 2 * BATCH, len(store))))
        faces = store.batch(np.arange(start, min(start + BATCH, len(store)))).to(device).float().div_(255)
        parts[0].append(recogniser(faces).half())
        parts[1].append(recogniser(faces.flip(3)).half())
    return torch.stack([torch.cat(parts[0]), torch.cat(parts[1])])
