"""The embeddings of a published set by every system: each face goes the way of its size.

A face of up to 32 px passes the system under test: super-resolver, and adapted or fine-tuned recogniser. A larger one
is embedded by the recogniser that enrols galleries, whatever the system, as `docs/decisions/evaluation.md` has it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataset.views.resolution import LARGEST_VLR_PX
from engine.errors import UserError
from facial_rec.networks.edgeface import EMBEDDING_SIZE
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.faces import NATIVE_PX
from pipeline.evaluation.systems import Networks, System, choose_systems
from pipeline.published.native_faces import NativeFaces
from pipeline.published.published_set import Condition, Embeddings, Sides, Sizes


def small_face_systems(networks: Networks, given: str | None) -> list[System]:
    """Return the rows of a table: systems that differ in what they do with small faces.

    Args:
        networks: What is there.
        given: Keys joined by commas; None: all but those that only enlarge in another way.

    Raises:
        UserError: As `choose_systems`, or a system that sees full-size faces alone.
    """
    chosen = choose_systems(networks, given)
    if given is None:
        return [system for system in chosen if not system.hr and system.enlarge_by == "bicubic"]
    named = {key.strip() for key in given.split(",")}
    rows = [system for system in chosen if system.key in named]
    for system in rows:
        if system.hr:
            raise UserError(f"--systems {system.key}: only says what full-size faces pass, which all systems share")
    return rows


class SetEmbedder:
    """Embeds the faces of a published set, each size once.

    Args:
        faces: The faces.
        embedder: Of them.
        systems: The rows of the table.
    """

    def __init__(self, faces: NativeFaces, embedder: Embedder, systems: Sequence[System]) -> None:
        self._faces, self._embedder, self._systems = faces, embedder, list(systems)
        there = {system.key: system for system in embedder.networks.systems()}
        self._enrolling = {system.key: there[system.gallery] for system in systems}
        self._known: dict[int, dict[str, Embeddings]] = {}

    def sides(self, condition: Condition) -> dict[str, Sides]:
        """Return both sides under a condition, by the key of the system."""
        gallery, probes = self._at(condition.gallery_px), self._at(condition.probe_px)
        gallery_px, probe_px = self._size(condition.gallery_px), self._size(condition.probe_px)
        return {
            system.key: Sides(gallery[system.key], probes[system.key], gallery_px, probe_px) for system in self._systems
        }

    def _size(self, size_px: int) -> Sizes:
        native = self._faces.size_px
        return native if size_px == NATIVE_PX else np.minimum(native, size_px)

    def _at(self, size_px: int) -> dict[str, Embeddings]:
        """Return (N, D) of every system; a face that is no larger than the size is embedded as it is."""
        if size_px not in self._known:
            seen, native = self._size(size_px), self._faces.size_px
            small, as_it_is, there = seen <= LARGEST_VLR_PX, native == seen, native > 0
            found = {system.key: np.full((len(native), EMBEDDING_SIZE), np.nan, np.float32) for system in self._systems}
            for at, part in ((NATIVE_PX, as_it_is & there), (size_px, ~as_it_is & there)):
                self._fill(found, np.flatnonzero(part & small), at, {each.key: each for each in self._systems})
                self._fill(found, np.flatnonzero(part & ~small), at, self._enrolling)
            self._known[size_px] = found
        return self._known[size_px]

    def _fill(self, found: dict[str, Embeddings], rows: NDArray[np.int64], size_px: int, by: dict[str, System]) -> None:
        if len(rows):
            values = self._embedder.embed(list({system.key: system for system in by.values()}.values()), size_px, rows)
            for key, system in by.items():
                found[key][rows] = values[system.key]
