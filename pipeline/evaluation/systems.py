"""The systems that an evaluation compares: what is under test and the controls beside it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dsr.network import DSR
from dsr.weights import load_dsr
from engine.errors import UserError
from engine.files import sha256_of
from facial_rec.edgeface import EMBEDDING_SIZE
from facial_rec.embedding import EdgeFaceEmbedding
from pipeline.evaluation.choices import choose_adapter
from pipeline.evaluation.embedding_cache import EmbeddingCache
from pipeline.evaluation.faces import HR_PX, Split, stack
from pipeline.recognizer import LARGEST_VLR_PX, Enlarge, Recognizer, join_views

BATCH = 64
Which = Literal["original", "finetuned", "adapted", "unseen"]


@dataclass(frozen=True)
class System:
    """How probes are embedded.

    Attributes:
        key: Short name, stable across reports.
        name: For people.
        edgeface: Which of the recognisers.
        restored: Whether the super-resolver stands in front.
        enlarge_by: How small faces are brought to 112 px.
        hr: Whether it sees the full-size faces: a ceiling, the same for every input size.
    """

    key: str
    name: str
    edgeface: Which
    restored: bool = False
    enlarge_by: Enlarge = "bicubic"
    hr: bool = False

    @property
    def gallery(self) -> str:
        """Key of the full-size row that embeds the gallery: embeddings of other recognisers have another space."""
        return "hr+unseen" if self.edgeface == "unseen" else "hr"


SYSTEMS = (
    System("bicubic", "Bicubic + EdgeFace", "original"),
    System("nearest", "Direct resize, nearest + EdgeFace", "original", enlarge_by="nearest"),
    System("bilinear", "Direct resize, bilinear + EdgeFace", "original", enlarge_by="bilinear"),
    System("dsr", "DSR + EdgeFace", "original", restored=True),
    System("dsr+finetuned", "DSR + fine-tuned EdgeFace", "finetuned", restored=True),
    System("finetuned", "Fine-tuned EdgeFace, no DSR", "finetuned"),
    System("dsr+adapted", "DSR + adapted EdgeFace", "adapted", restored=True),
    System("adapted", "Adapted EdgeFace, no DSR", "adapted"),
    System("hr", "HR, EdgeFace (ceiling)", "original", hr=True),
    System("hr+finetuned", "HR, fine-tuned EdgeFace", "finetuned", hr=True),
    System("hr+adapted", "HR, adapted EdgeFace", "adapted", hr=True),
    System("bicubic+unseen", "Bicubic + unseen EdgeFace", "unseen"),
    System("dsr+unseen", "DSR + unseen EdgeFace", "unseen", restored=True),
    System("hr+unseen", "HR, unseen EdgeFace", "unseen", hr=True),
)
"""Every row of the table of controls, in its order; those whose weights are absent are left out, and it is said."""


@dataclass(frozen=True)
class Networks:
    """The loaded networks.

    Attributes:
        recognisers: Original, and fine-tuned, adapted and unseen where given.
        dsr: The super-resolver; None without one.
        weights: What was loaded, for the report: role to path, hash and kind.
        hashes: Role to a hash of everything that decides its output.
    """

    recognisers: dict[Which, EdgeFaceEmbedding]
    dsr: DSR | None
    weights: dict[str, dict[str, Any]]
    hashes: dict[str, str]

    def systems(self) -> list[System]:
        """Return the rows that these networks can fill."""
        return [
            system
            for system in SYSTEMS
            if system.edgeface in self.recognisers and (self.dsr is not None or not system.restored)
        ]


def load_networks(
    edgeface: str,
    dsr: Path | None,
    finetuned: Path | None,
    adapter: str,
    device: torch.device,
    unseen: str | None = None,
) -> Networks:
    """Load what is given.

    Args:
        edgeface: The original recogniser, which embeds the gallery.
        dsr: The super-resolver, or None.
        finetuned: Fine-tuned recogniser, or None.
        adapter: Low-resolution adapter of the original recogniser; see `choices.choose_adapter`.
        device: Where the networks are placed.
        unseen: A recogniser that took no part in any training, or None.

    Raises:
        WeightsError: A recogniser that cannot be loaded whole.
        DSRWeightsError: A super-resolver that cannot be loaded whole.
    """
    recognisers: dict[Which, EdgeFaceEmbedding] = {"original": EdgeFaceEmbedding(edgeface, device=device)}
    if finetuned is not None:
        recognisers["finetuned"] = EdgeFaceEmbedding(finetuned, device=device)
    adapted = choose_adapter(adapter, recognisers["original"])
    if adapted is not None:
        recognisers["adapted"] = EdgeFaceEmbedding(edgeface, device=device, adapter=adapted)
    if unseen is not None:
        recognisers["unseen"] = EdgeFaceEmbedding(unseen, device=device)
    weights: dict[str, dict[str, Any]] = {
        role: {"path": _shown(Path(net.source)), "sha256": net.sha256, "arch": net.arch, "kind": net.kind}
        for role, net in recognisers.items()
    }
    if adapted is not None:
        weights["adapted"]["adapter"] = {"path": _shown(adapted), "sha256": sha256_of(adapted)}
    network = load_dsr(dsr, device) if dsr is not None else None
    if network is not None and dsr is not None:
        weights["dsr"] = {"path": _shown(dsr), "sha256": sha256_of(dsr), "preset": network.preset}
    return Networks(recognisers, network, weights, {role: _hash(entry) for role, entry in weights.items()})


def _hash(entry: dict[str, Any]) -> str:
    """Return a hash of what decides a network's output, which the place of its files does not."""
    said = {name: _hash(value) if isinstance(value, dict) else value for name, value in entry.items() if name != "path"}
    return hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()


def _shown(path: Path) -> str:
    """Return a path as a report names it: from the working directory where it is below that."""
    path, here = path.absolute(), Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def choose_systems(networks: Networks, given: str | None) -> list[System]:
    """Return the rows to evaluate, and the full-size ones that embed their galleries.

    Args:
        networks: What is there.
        given: Keys joined by commas; None: all that can be built.

    Raises:
        UserError: A key that is none, or whose weights are absent.
    """
    there = {system.key: system for system in networks.systems()}
    if given is None:
        return list(there.values())
    wanted = {key.strip() for key in given.split(",") if key.strip()}
    unknown = sorted(wanted - set(there))
    if unknown or not wanted:
        raise UserError(
            f"--systems {given}: {unknown[0] if unknown else 'nothing'!r} cannot be built here; "
            f"there are {', '.join(there)}"
        )
    wanted |= {there[key].gallery for key in wanted}
    return [system for key, system in there.items() if key in wanted]


class Embedder:
    """Embeds a split by every system; what stands in front of several recognisers restores each face once.

    Args:
        split: The faces.
        networks: What the systems are made of.
        cache: Where embeddings are kept.
        flip: Whether mirror images are added.
        device: Where the networks are.
    """

    def __init__(
        self, split: Split, networks: Networks, cache: EmbeddingCache, flip: bool, device: torch.device
    ) -> None:
        self.split, self.networks, self.cache, self.flip, self.device = split, networks, cache, flip, device

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
        for front in sorted({(system.restored, system.enlarge_by) for system in systems}):
            group = [system for system in systems if (system.restored, system.enlarge_by) == front]
            values = self._embed_behind(front, [system.edgeface for system in group], size_px, rows)
            found |= {system.key: embeddings for system, embeddings in zip(group, values, strict=True)}
        return found

    def _embed_behind(
        self, front: tuple[bool, Enlarge], recognisers: list[Which], size_px: int, rows: NDArray[np.int64]
    ) -> list[NDArray[np.float32]]:
        restored, enlarge_by = front
        front_key = {
            "dsr": self.networks.hashes["dsr"] if restored and size_px <= LARGEST_VLR_PX else None,
            "enlarge_by": enlarge_by if size_px != HR_PX else None,
            "flip": self.flip,
            "faces": self.split.view_key(size_px),
            "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        keys = [{**front_key, "recogniser": self.networks.hashes[name]} for name in recognisers]
        viewer = Recognizer(_as_it_is, self.networks.dsr if restored else None, self.flip, enlarge_by)
        title = f"{size_px} px, {'DSR' if restored else enlarge_by}"
        with tqdm(total=len(rows), unit="face", desc=title, leave=False, mininterval=0.5) as bar:

            def embed(block: slice, wanted: list[int]) -> NDArray[np.float32]:
                networks = [self.networks.recognisers[recognisers[number]] for number in wanted]
                chosen = rows[block]
                parts = [
                    self._batch(chosen[start : start + BATCH], size_px, viewer, networks)
                    for start in range(0, len(chosen), BATCH)
                ]
                bar.update(len(chosen))
                return np.concatenate(parts)

            found = self.cache.get(keys, len(rows), embed)
        self.split.views(rows[np.isnan(found[0][:, 0])], size_px)  # what the cache knows to fail says why once more
        return found

    def _batch(
        self, rows: NDArray[np.int64], size_px: int, viewer: Recognizer, networks: list[EdgeFaceEmbedding]
    ) -> NDArray[np.float32]:
        """Return (B, R, D): the embeddings of R recognisers; NaN for faces that cannot be read."""
        faces = self.split.views(rows, size_px)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for position, face in enumerate(faces):
            if face is not None:
                by_shape.setdefault(face.shape, []).append(position)
        values = np.full((len(rows), len(networks), EMBEDDING_SIZE), np.nan, np.float32)
        for positions in by_shape.values():
            batch = stack([face for face in (faces[position] for position in positions) if face is not None])
            views = viewer.views(batch.to(self.device))
            for column, network in enumerate(networks):
                with torch.inference_mode():
                    values[positions, column] = join_views([network(view) for view in views]).cpu().numpy()
        return values


def _as_it_is(faces: Tensor) -> Tensor:
    return faces
