"""Whether an exported recogniser still is the one it was made from: numbers, angles and verification."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from dataset.views.degrade import shrink
from dsr.dsr_file import PRETRAINED
from engine.errors import GateError, UserError
from engine.files import sha256_of
from facial_rec.loading.adapter import SHIPPED
from facial_rec.loading.hub import OFFICIAL_SHA256
from metrics.bootstrap import IdentityBootstrap, draw_people
from metrics.differences import paired_difference
from metrics.verification import TarAtFar, tar_at_far

Floats = NDArray[np.float32]
EmbedFaces = Callable[[Floats], Floats]
"""(B, 3, h, w) RGB in [0, 1] -> (B, 512) unit embeddings."""

FAR = 1e-2
THRESHOLD_FAR = 1e-3
HR_PX = 112
_BATCH = 32
_REPLICATES = 300
_USUAL = 0.30
"""Of EdgeFace-XXS behind the shipped super-resolver at FAR 1e-3 on LFW: 0.28 to 0.30 from 8 to 112 px."""
_USUAL_FOR = "edgeface_xxs"


class ParityError(GateError):
    """An export that differs too much from its source; it is not written."""


class UnverifiedError(UserError):
    """Faces on which an export cannot be judged; it is not written."""


@dataclass(frozen=True)
class Parity:
    """One size of the comparison.

    Attributes:
        size_px: Side of the probes.
        max_difference: Largest difference of an embedding's value.
        min_cosine: Of the least alike pair of embeddings; `mean_cosine` over all.
        tar_before: TAR at FAR 1e-2 against the full-size gallery, of the source; None if not measurable.
        tar_after: Of the export, which embeds the probes, and the gallery too if it takes full-size faces.
        drop_interval: 95 % interval of `tar_before - tar_after`, people resampled.
        threshold: Of the export at FAR 1e-3, or 1e-2 if that is not measurable.
        threshold_far: Which of them.
        people: How many were compared.
    """

    size_px: int
    max_difference: float
    min_cosine: float
    mean_cosine: float
    tar_before: float | None
    tar_after: float | None
    drop_interval: tuple[float, float] | None
    threshold: float | None
    threshold_far: float | None
    people: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def compare(
    source: EmbedFaces,
    exported: EmbedFaces,
    store: FaceStore,
    sizes_px: list[int],
    limit: int,
    takes_full_size: bool = True,
) -> list[Parity]:
    """Embed held-out faces by both and compare, at every size.

    Args:
        source: The networks in torch.
        exported: The exported file.
        store: Faces of people who took no part in training.
        sizes_px: Sizes of the probes; the gallery is at full size.
        limit: Most faces, those of people with several photographs first.
        takes_full_size: Whether the export holds the way of full-size faces; else the source embeds both galleries.
    """
    rows = _rows(store.person, limit)
    person = np.unique(store.person[rows], return_inverse=True)[1]
    faces = store.batch(rows).float() / 255
    gallery = _embed(source, faces)
    galleries = [gallery, _embed(exported, faces) if takes_full_size else gallery]
    results = []
    for size in sizes_px:
        seen = faces if size == HR_PX else shrink(faces, size)
        results.append(_compare(galleries, [_embed(embed, seen) for embed in (source, exported)], person, size))
    return results


def check(parities: list[Parity], largest_difference: float, least_cosine: float, largest_drop: float | None) -> None:
    """Refuse an export that differs too much.

    Args:
        parities: One a size.
        largest_difference: Of an embedding's value.
        least_cosine: Of a pair of embeddings.
        largest_drop: Of TAR, where it was measured; None where the faces tell nothing about verification.

    Raises:
        ParityError: Naming the size, the figure and its limit; or nothing was compared.
    """
    if not parities:
        raise ParityError("the export was compared at no size; nothing was written")
    for parity in parities:
        limits = [
            ("differs by", parity.max_difference, largest_difference),
            ("turns an embedding by 1 - cosine", 1 - parity.min_cosine, 1 - least_cosine),
        ]
        if largest_drop is not None and parity.tar_before is not None and parity.tar_after is not None:
            limits.append(("loses TAR at FAR 1e-2", parity.tar_before - parity.tar_after, largest_drop))
        for name, value, limit in limits:
            if not value <= limit:
                raise ParityError(
                    f"the export {name} {value:.2g} at {parity.size_px} px, {limit:.2g} is allowed; "
                    "nothing was written, try a higher --precision"
                )


def require_verification(parities: list[Parity], dataset: Path) -> None:
    """Refuse an export that only verification could judge, where it could not be measured.

    Raises:
        UnverifiedError: No TAR at one of the sizes.
    """
    for parity in parities:
        if parity.tar_before is None or parity.tar_after is None:
            raise UnverifiedError(
                f"{split_folder(dataset, 'val')}: TAR at FAR 1e-2 cannot be measured at {parity.size_px} px, and "
                "int8 is judged by it alone; nothing was written, prepare more validation people with two photographs "
                "each, raise --faces, or take --precision fp16"
            )


def table(parities: list[Parity]) -> str:
    """Return the comparison as Markdown."""
    lines = [
        "| size | max difference | cosine, least / mean | TAR at FAR 1e-2, before | after | drop, 95 % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for parity in parities:
        before, after = (f"{tar:.4f}" if tar is not None else "-" for tar in (parity.tar_before, parity.tar_after))
        drop = "-" if parity.drop_interval is None else "{:+.4f} to {:+.4f}".format(*parity.drop_interval)
        cosines = f"{parity.min_cosine:.5f} / {parity.mean_cosine:.5f}"
        lines.append(f"| {parity.size_px} px | {parity.max_difference:.1e} | {cosines} | {before} | {after} | {drop} |")
    return "\n".join(lines)


def measured_threshold(parities: list[Parity]) -> tuple[float | None, float | None, str]:
    """Return the highest of the sizes' thresholds, so that the false accept rate holds at each of them.

    Returns:
        The threshold or None, the FAR that it was measured at, and its origin in words.
    """
    measured = [(line.threshold, line.threshold_far, line) for line in parities if line.threshold is not None]
    if not measured:
        return None, None, "none: too few comparisons of held-out people to measure one"
    threshold, far, line = max(measured, key=lambda found: found[0])
    return threshold, far, f"measured at FAR {far:g} on {line.people} held-out people, at {line.size_px} px"


def usual_threshold(hashes: dict[str, str]) -> tuple[float | None, float | None, str]:
    """Return what was once measured for networks of these hashes (see `DeployedNetworks`), as `measured_threshold`."""
    shipped = {sha256_of(path) for path in SHIPPED.glob("*.safetensors")} | {None}
    if (
        OFFICIAL_SHA256.get(hashes["edgeface"], "").startswith(_USUAL_FOR)
        and hashes["edgeface_small"] == hashes["edgeface"]
        and hashes.get("adapter") in shipped
        and hashes.get("dsr") == sha256_of(PRETRAINED)
    ):
        return _USUAL, None, "usual for EdgeFace-XXS behind the shipped super-resolver, not measured here"
    return None, None, "none: nothing was prepared to measure one on, and none is known for these networks"


def _compare(galleries: list[Floats], probes: list[Floats], person: NDArray[np.int64], size_px: int) -> Parity:
    cosine = (probes[0] * probes[1]).sum(axis=1)
    genuine, impostor, people = _pairs(person)
    scores = [gallery @ probe.T for gallery, probe in zip(galleries, probes, strict=True)]
    found = [tar_at_far(score[genuine], score[impostor], FAR) for score in scores] if genuine.any() else []
    measurable = bool(found) and all(result.measurable for result in found)
    chosen = _threshold(scores[1][genuine], scores[1][impostor]) if measurable else None
    return Parity(
        size_px,
        float(np.abs(probes[0] - probes[1]).max()),
        float(cosine.min()),
        float(cosine.mean()),
        found[0].tar if measurable else None,
        found[1].tar if measurable else None,
        _drop_interval(scores, person, genuine, impostor, people) if measurable else None,
        float(chosen.threshold) if chosen else None,
        chosen.target_far if chosen else None,
        int(person.max()) + 1,
    )


def _drop_interval(
    scores: list[Floats],
    person: NDArray[np.int64],
    genuine: NDArray[np.bool_],
    impostor: NDArray[np.bool_],
    people: NDArray[np.int64],
) -> tuple[float, float] | None:
    weights = draw_people(int(person.max()) + 1, _REPLICATES, seed=0)
    owner = np.broadcast_to(person[:, None], genuine.shape)[genuine]
    before, after = (
        IdentityBootstrap(score[genuine], owner, score[impostor], people, weights).tar_at_far(FAR) for score in scores
    )
    paired = paired_difference(0.0, 0.0, before, after)
    return paired["interval"] if paired else None


def _threshold(genuine: Floats, impostor: Floats) -> TarAtFar:
    strict = tar_at_far(genuine, impostor, THRESHOLD_FAR)
    return strict if strict.measurable else tar_at_far(genuine, impostor, FAR)


def _pairs(person: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Return masks (N, N) of genuine and impostor pairs, and both people of each impostor pair."""
    same = person[:, None] == person[None, :]
    impostor = ~same
    return same & ~np.eye(len(person), dtype=bool), impostor, person[np.argwhere(impostor)]


def _rows(person: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Choose faces: whole people, those with several photographs first, at most six of each."""
    rank = np.zeros(len(person), np.int64)
    order = np.argsort(person, kind="stable")
    starts = np.flatnonzero(np.diff(person[order], prepend=-1))
    rank[order] = np.arange(len(person)) - np.repeat(starts, np.diff([*starts, len(person)]))
    counts = np.bincount(person)[person]
    eligible = np.flatnonzero(rank < 6)
    chosen = eligible[np.argsort(counts[eligible] < 2, kind="stable")][:limit]
    return np.sort(chosen)


@torch.inference_mode()
def _embed(embed: EmbedFaces, faces: torch.Tensor) -> Floats:
    return np.concatenate([embed(part.numpy()) for part in torch.split(faces, _BATCH)])
