"""The embeddings of faces by every system: from the cache, or by the networks, here or in several processes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dataset.views.resolution import LARGEST_VLR_PX
from facial_rec.networks.edgeface import EMBEDDING_SIZE
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.embedding_processes import EmbeddingProcesses
from pipeline.evaluation.faces import HR_PX, NATIVE_PX, Picture, stack
from pipeline.evaluation.systems import Networks, System, Which
from pipeline.recognition.torch_recognizer import Enlarge, Recognizer, join_views

BATCH = 64


class FaceViews(Protocol):
    """Faces that can be embedded at several sizes; `Split` says what each method does."""

    def __len__(self) -> int:
        """Return how many faces there are."""
        ...

    def views(self, rows: NDArray[np.int64], size_px: int) -> list[Picture | None]:
        """Return (h, w, 3) uint8 RGB faces of a size; None where one cannot be read."""
        ...

    def rows_at(self, size_px: int) -> NDArray[np.int64]:
        """Return the rows to compare at a size."""
        ...

    def view_key(self, size_px: int) -> str:
        """Return a hash of what `views` depends on."""
        ...


@dataclass(frozen=True)
class Chain:
    """What a face passes on its way to its embeddings.

    Attributes:
        restored: Whether the super-resolver stands in front.
        enlarge_by: How small faces are brought to 112 px.
        flip: Whether the mirror image is added.
        recognisers: What embeds the restored face, each by itself.
    """

    restored: bool
    enlarge_by: Enlarge
    flip: bool
    recognisers: tuple[Which, ...]


class Embedder:
    """Embeds faces by every system; what stands in front of several recognisers restores each face once.

    Args:
        split: The faces.
        networks: What the systems are made of.
        cache: Where embeddings are kept.
        flip: Whether mirror images are added.
        processes: What embeds; None: the networks, in this process.
    """

    def __init__(
        self,
        split: FaceViews,
        networks: Networks,
        cache: EmbeddingCache,
        flip: bool,
        processes: EmbeddingProcesses | None = None,
    ) -> None:
        self.split, self.networks, self.cache, self.flip, self.processes = split, networks, cache, flip, processes

    def embed(
        self, systems: list[System], size_px: int, rows: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return (N, D) unit embeddings of each system by its key; NaN where a face could not be read.

        Args:
            systems: What embeds them.
            size_px: Input size.
            rows: (N,) which faces; None: all.
        """
        rows = np.arange(len(self.split)) if rows is None else rows
        found: dict[str, NDArray[np.float32]] = {}
        for restored, enlarge_by in sorted({(system.restored, system.enlarge_by) for system in systems}):
            group = [system for system in systems if (system.restored, system.enlarge_by) == (restored, enlarge_by)]
            chain = Chain(restored, enlarge_by, self.flip, tuple(system.edgeface for system in group))
            values = self._embed_by(chain, size_px, rows)
            found |= {system.key: embeddings for system, embeddings in zip(group, values, strict=True)}
        return found

    def _embed_by(self, chain: Chain, size_px: int, rows: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        front_key = {
            "dsr": self.networks.hashes["dsr"] if chain.restored and size_px <= LARGEST_VLR_PX else None,
            "enlarge_by": chain.enlarge_by if size_px != HR_PX else None,
            "flip": chain.flip,
            "faces": self.split.view_key(size_px),
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        keys = [{**front_key, "recogniser": self.networks.hashes[name]} for name in chain.recognisers]
        size = "native size" if size_px == NATIVE_PX else f"{size_px} px"
        title = f"{size}, {'DSR' if chain.restored else chain.enlarge_by}"
        with tqdm(total=len(rows), unit="face", desc=title, leave=False, mininterval=0.5) as bar:

            def embed(block: slice, wanted: list[int]) -> NDArray[np.float32]:
                chosen = rows[block]
                batches = (
                    self.split.views(chosen[start : start + BATCH], size_px) for start in range(0, len(chosen), BATCH)
                )
                part = replace(chain, recognisers=tuple(chain.recognisers[number] for number in wanted))
                found = []
                for values in self._embed_batches(part, batches):
                    found.append(values)
                    bar.update(len(values))
                return np.concatenate(found)

            found = self.cache.get(keys, len(rows), embed)
        self.split.views(rows[np.isnan(found[0][:, 0])], size_px)  # what the cache knows to fail says why once more
        return found

    def _embed_batches(self, chain: Chain, batches: Iterable[list[Picture | None]]) -> Iterable[NDArray[np.float32]]:
        if self.processes is not None:
            return self.processes.map(partial(embed_faces, chain=chain), batches)
        return (embed_faces(self.networks, faces, chain) for faces in batches)


def embed_faces(networks: Networks, faces: list[Picture | None], chain: Chain) -> NDArray[np.float32]:
    """Return the (B, R, D) unit embeddings of B faces by R recognisers; NaN for a face that could not be read.

    Args:
        networks: What the chain is made of.
        faces: (h, w, 3) uint8 RGB, of any sizes; None for one that could not be read.
        chain: What they pass.
    """
    viewer = Recognizer(_as_it_is, networks.dsr if chain.restored else None, chain.flip, chain.enlarge_by)
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for position, face in enumerate(faces):
        if face is not None:
            by_shape.setdefault(face.shape, []).append(position)
    values = np.full((len(faces), len(chain.recognisers), EMBEDDING_SIZE), np.nan, np.float32)
    for positions in by_shape.values():
        batch = stack([face for face in (faces[position] for position in positions) if face is not None])
        views = viewer.views(batch.to(networks.device))
        for column, name in enumerate(chain.recognisers):
            with torch.inference_mode():
                found = join_views([networks.recognisers[name](view) for view in views])
            values[positions, column] = found.cpu().numpy()
    return values


def _as_it_is(faces: Tensor) -> Tensor:
    return faces
