"""What every published test set is once it is read: faces, and the comparisons that its protocol makes of them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dataset.photographs.image_files import read_image
from dataset.photographs.photograph_folders import find_photographs
from engine.errors import UserError
from pipeline.evaluation.faces import NATIVE_PX, Picture
from pipeline.evaluation.measures import Json

Embeddings = NDArray[np.float32]
Sizes = NDArray[np.int64]
ALL = "all"
BANDS = (8, 12, 16, 24, 32, 64)
"""Upper ends, in pixels, of the sizes by which figures are split."""


class PublishedSetError(UserError):
    """A test set that is not laid out as it was published."""


@dataclass(frozen=True)
class Sides:
    """The faces of both sides of the comparisons, the same rows on each.

    Attributes:
        gallery: (N, D) unit embeddings of the first side; NaN where a face could not be read.
        probes: (N, D) of the second.
        gallery_px: (N,) size at which each face of the first side was embedded.
        probe_px: (N,) of the second.
    """

    gallery: Embeddings
    probes: Embeddings
    gallery_px: Sizes
    probe_px: Sizes


class Trial(Protocol):
    """One table of a protocol."""

    @property
    def title(self) -> str:
        """What is compared with what, and how often."""
        ...

    def measure(self, sides: Sides) -> list[Json]:
        """Return rows of `group`, `count` and figures; rates are shares, None is not measurable.

        The first row is of all comparisons; then come those that the protocol tells apart, then native sizes.
        """
        ...


@dataclass(frozen=True)
class Condition:
    """At which sizes the two sides are seen; `NATIVE_PX`: each face at its own."""

    name: str = "native size"
    gallery_px: int = NATIVE_PX
    probe_px: int = NATIVE_PX


AS_THEY_ARE = (Condition(),)


@dataclass(frozen=True)
class PublishedSet:
    """A test set.

    Attributes:
        what: What was read, in words.
        names: (N,) faces, by their paths below the root or likewise.
        read: Returns the (H, W, 3) uint8 RGB picture of a row; raises `UserError` where it cannot be read.
        key: Hash of the pictures.
        trials: The protocol.
        landmarks: (N, 5, 2) in the pictures, where the set comes with them.
        aligned: Whether the pictures are published as aligned faces, in which none is looked for.
        notes: In what it differs from what was published, a line each.
    """

    what: str
    names: list[str]
    read: Callable[[int], Picture]
    key: str
    trials: Sequence[Trial]
    landmarks: NDArray[np.float64] | None = None
    aligned: bool = False
    notes: list[str] = field(default_factory=list)


def reader_of(root: Path, names: list[str]) -> Callable[[int], Picture]:
    """Return what reads the picture of a row: of these names below a folder."""
    return lambda row: read_image(root / names[row])


def key_of(root: Path, names: list[str]) -> str:
    """Return the key of pictures below a folder: a hash of their names, sizes and times.

    Raises:
        PublishedSetError: Some of them are not there.
    """
    digest, missing = hashlib.sha256(), []
    for name in names:
        try:
            found = (root / name).stat()
            digest.update(f"{name}\0{found.st_size} {found.st_mtime_ns}\n".encode())
        except OSError:
            missing.append(name)
    if missing:
        raise PublishedSetError(
            f"{root}: {len(missing)} of the {len(names)} images that its lists name are not there, the first is "
            f"{missing[0]!r}; unpack them all there"
        )
    return digest.hexdigest()


def folder_below(root: Path, name: str) -> Path:
    """Return the folder of a name, which is the root itself, in it, or in a folder in it.

    Raises:
        PublishedSetError: There is none.
    """
    places = [root, *sorted(root.glob(name)), *sorted(root.glob(f"*/{name}"))]
    found = [each for each in places if each.name == name and each.is_dir()]
    if not found:
        raise PublishedSetError(f"{root}: no folder {name} in it; give the folder that has it, as the set is unpacked")
    return found[0]


def images_in(folder: Path, below: Path) -> list[str]:
    """Return the images in a folder and those in it, by their paths below another folder, sorted."""
    return [(folder.relative_to(below) / name).as_posix() for name in find_photographs(folder).names]


def unlike_published(published: dict[str, tuple[int, int]]) -> list[str]:
    """Return a note for each count that is not the published one: name to (published, here)."""
    return [
        f"{name}: {here:,} here, {count:,} were published; figures compare with published ones only on the whole set"
        for name, (count, here) in published.items()
        if count != here
    ]


def bands(sizes_px: Sizes) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the names and the (N,) members of the bands of sizes that have any; faces not read have size 0."""
    number = np.where(sizes_px > 0, np.searchsorted(BANDS, sizes_px) + 1, 0)
    names = ["not read", f"up to {BANDS[0]} px", *(f"{low + 1} to {high} px" for low, high in pairwise(BANDS))]
    names.append(f"over {BANDS[-1]} px")
    return [(name, number == each) for each, name in enumerate(names) if (number == each).any()]


def split_by_size(sizes_px: Sizes) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the bands by which figures are split: none where all comparisons are in one."""
    found = bands(sizes_px)
    return found if len(found) > 1 else []
