"""The faces of an evaluation: a prepared split at full size, and its low-resolution views from disk or made."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.photographs.image_files import ImageError, read_image
from dataset.photographs.layout import HR_FOLDER, INDEX, VLR_FOLDER, hr_faces, read_index, vlr_images
from dataset.store import FaceStore
from dataset.views.degrade import Degradation, as_cameras, shrink
from engine.errors import UserError
from engine.text import composed, folded
from pipeline.evaluation.loose_faces import hash_of_files, refuse_unaligned

HR_PX = 112
NATIVE_PX = 0
"""Stands for photographs of any low resolution, vlr_images/<person>/<stem>.png."""

Picture = NDArray[np.uint8]


class EvaluationDataError(UserError):
    """Faces that cannot be evaluated."""


@dataclass(frozen=True)
class Split:
    """The faces of one split folder.

    Attributes:
        root: The split's folder.
        keys: Image names below `hr_images` without their suffix, composed.
        person: (N,) index into `people`.
        people: Sorted names, composed.
        rule: What said whose face it is.
        attributes: Further columns of the index: name to one value a face.
        sha256: Identifies pixels, names and people.
        store: The packed faces, or None where only images are there.
        hr_files: The images, where there is no store.
        vlr_files: Size in pixels to the file of each key; sizes that are not there are made from HR.
        degradation: How low-resolution views are made; "real" makes them even where `vlr_files` has the size.
        failures: Images that could not be read, with the reason; grows while they are read.
    """

    root: Path
    keys: list[str]
    person: NDArray[np.int64]
    people: list[str]
    rule: str
    attributes: dict[str, list[str]]
    sha256: str
    store: FaceStore | None
    hr_files: list[Path]
    vlr_files: dict[int, dict[str, Path]]
    degradation: Degradation = "clean"
    failures: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def views(self, rows: NDArray[np.int64], size_px: int) -> list[Picture | None]:
        """Return (h, w, 3) uint8 RGB faces of a size; None where one cannot be read.

        Args:
            rows: Which faces.
            size_px: 112 for full size; NATIVE_PX for photographs of any low resolution.

        Raises:
            EvaluationDataError: A file among those of a size has another.
        """
        keys = [self.keys[row] for row in rows]
        files = self._files_at(size_px)
        if files is not None:
            return [self._low(files.get(key), key, size_px) for key in keys]
        faces = self._full_size(rows)
        return faces if size_px == HR_PX else shrunk(faces, keys, size_px, self.degradation)

    def rows_at(self, size_px: int) -> NDArray[np.int64]:
        """Return the rows to compare at a size: all, and of photographs of any low resolution those that are there."""
        if size_px != NATIVE_PX or NATIVE_PX not in self.vlr_files:
            return np.arange(len(self))
        return np.flatnonzero([key in self.vlr_files[NATIVE_PX] for key in self.keys])

    def view_key(self, size_px: int) -> str:
        """Return a hash of what `views` depends on; of files on disk it reads sizes and times, not their bytes."""
        degradation = "" if self.degradation == "clean" or size_px == HR_PX else f" {self.degradation} {self.keys}"
        digest = hashlib.sha256(f"{self.sha256} {size_px}{degradation}".encode())
        files = sorted((self._files_at(size_px) or {}).items())
        folders = {folder: folder.resolve() for folder in {path.parent for _, path in files}}  # slow for each file
        for key, path in files:
            with contextlib.suppress(OSError):  # a link to nothing has neither, and fails when it is read
                found = path.stat()
                place = f"{folders[path.parent] / path.name} {found.st_size} {found.st_mtime_ns}"
                digest.update(f"{key} {place}\n".encode())
        return digest.hexdigest()

    def view_source(self, size_px: int) -> str:
        """Say where faces of this size come from."""
        if size_px == HR_PX:
            return "HR images"
        if self._files_at(size_px) is None:
            return "made from HR" + (", as cameras would" if self.degradation == "real" else "")
        seen = len(self.rows_at(size_px))
        return "vlr_images" + (f", of {seen} of {len(self)} faces" if seen < len(self) else "")

    def _files_at(self, size_px: int) -> dict[str, Path] | None:
        """Return the images of a size by key; None where its views are made."""
        made = self.degradation != "clean" and size_px != NATIVE_PX
        return None if made else self.vlr_files.get(size_px)

    def _full_size(self, rows: NDArray[np.int64]) -> list[Picture | None]:
        if self.store is not None:
            return list(self.store.faces[rows])
        return [self._read(self.hr_files[row], self.keys[row]) for row in rows]

    def _low(self, path: Path | None, key: str, size_px: int) -> Picture | None:
        """Read the file of a size; of any size, faces without one are none that failed."""
        if path is None and size_px == NATIVE_PX:
            return None
        face = self._read(path, f"{key} at {size_px} px")
        if face is not None and size_px != NATIVE_PX and face.shape[:2] != (size_px, size_px):
            raise EvaluationDataError(
                f"{path}: {face.shape[1]}x{face.shape[0]} in the folder of {size_px} px; mend or remove it, or keep "
                f"photographs of any size in {VLR_FOLDER}/<person>/"
            )
        return face

    def _read(self, path: Path | None, name: str) -> Picture | None:
        try:
            if path is None:
                raise ImageError("no such image")
            return read_image(path)
        except ImageError as error:
            self.failures[name] = str(error)
            return None


def open_split(root: Path, names_alone: bool = False) -> Split:
    """Open a split's folder as `python -m dataset prepare` writes it, or one with images only.

    Args:
        root: The folder.
        names_alone: Its faces are not embedded, so that they may be of any size.

    Raises:
        EvaluationDataError: No such folder, or two images whose names differ only in suffix or case.
        LayoutError: Images without a person, or low-resolution ones without their HR face.
        LooseFacesError: There is no store, and the images are no aligned faces of 112x112.
    """
    if not root.is_dir():
        raise EvaluationDataError(
            f"{root}: no such folder; make it with python -m dataset prepare PHOTOS --out dataset"
        )
    store = FaceStore.open(root) if (root / "faces.json").is_file() else None
    if store is not None and not store.labelled:
        raise EvaluationDataError(f"{root}: faces without people (--unlabelled), for training; nobody can be compared")
    faces, rule = hr_faces(root) if store is None or (root / HR_FOLDER).is_dir() else ([], "packed store")
    found = {size or NATIVE_PX: files for size, files in vlr_images(root, faces).items()} if faces else {}
    if store is not None:
        people_there = [composed(name) for name in store.people]
        images, names = list(store.images), [people_there[index] for index in store.person]
    else:
        images, names = [face.image for face in faces], [face.person for face in faces]
    keys = [composed(image.rpartition(".")[0] or image) for image in images]
    _refuse_clashes(root, keys)
    files = [] if store is not None else [root / HR_FOLDER / image for image in images]
    if not names_alone:
        refuse_unaligned(root / HR_FOLDER, files, HR_PX)
    sha256 = store.sha256 if store is not None else hash_of_files(files, names)
    people, person = np.unique(np.array(names), return_inverse=True)
    attributes = _attributes(root, images)
    return Split(root, keys, person.astype(np.int64), people.tolist(), rule, attributes, sha256, store, files, found)


def refuse_incomparable(split: Split) -> None:
    """Raise `EvaluationDataError` where a split has no genuine or no impostor comparisons."""
    refuse_few(split.root, split.person)


def refuse_few(folder: Path, person: NDArray[np.int64]) -> None:
    """Raise `EvaluationDataError` where these faces, of a folder, are too few to compare: (N,) whose each is."""
    people, images = np.unique(person, return_counts=True)
    if len(people) < 2 or images.max() < 2:
        raise EvaluationDataError(
            f"{folder}: {len(person)} images of {len(people)} people, the most of one person {images.max(initial=0)}; "
            "verification needs two people, and somebody with two images: add some"
        )


def open_other_split(root: Path, evaluated: Split, flag: str) -> Split:
    """Open a split of other people: strangers, or those that a threshold is chosen on.

    Args:
        root: Its folder.
        evaluated: The split under evaluation.
        flag: What named it, for the message.

    Raises:
        EvaluationDataError: It is the evaluated split itself, or has people of it.
    """
    if root.resolve() == evaluated.root.resolve():
        raise EvaluationDataError(
            f"{flag} {root}: that is the evaluated split itself, whose people must not be used; name another split"
        )
    other = open_split(root)
    shared = sorted(set(other.people) & set(evaluated.people))
    if shared:
        raise EvaluationDataError(
            f"{flag} {root}: {len(shared)} of its people are in {evaluated.root} as well, the first is {shared[0]!r}; "
            "name a split of other people"
        )
    return other


def open_beside(root: Path | None, evaluated: Split, flag: str) -> Split | None:
    """Open a split of other people that need not be there: by default val_processed beside the evaluated one.

    Raises:
        EvaluationDataError: As `open_other_split`, for a split that was named.
    """
    beside = evaluated.root.parent / "val_processed"
    if root is None and (not beside.is_dir() or beside.resolve() == evaluated.root.resolve()):
        return None
    return open_other_split(root or beside, evaluated, flag)


def refuse_lacking_views(other: Split, sizes_px: Sequence[int], evaluated: Split, flag: str) -> None:
    """Raise `EvaluationDataError` where another split has no photographs of any low resolution, and needs them."""
    if NATIVE_PX in sizes_px and NATIVE_PX not in other.vlr_files:
        raise EvaluationDataError(
            f"{flag} {other.root}: has no photographs of low resolution (vlr_images/<person>/) to choose on, as "
            f"{evaluated.root} has to be judged; add some, or give a number or @FILE"
        )


def stack(faces: Sequence[Picture]) -> Tensor:
    """Return (B, 3, h, w) RGB float in [0, 1] of equally large uint8 faces."""
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 255


def shrunk(
    faces: list[Picture | None], keys: list[str], size_px: int, degradation: Degradation
) -> list[Picture | None]:
    """Return (s, s, 3) views of equally large faces, as `degradation` makes them; None where there is no face."""
    there = [face for face in faces if face is not None]
    if not there:
        return faces
    if degradation == "real":
        seeds = torch.tensor([_seed(key) for key, face in zip(keys, faces, strict=True) if face is not None])
        small = as_cameras(stack(there), torch.full((len(there),), size_px), seeds)[:, :, :size_px, :size_px]
    else:
        small = shrink(stack(there), size_px)
    following = iter((small * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return [None if face is None else next(following) for face in faces]


def _seed(key: str) -> int:
    """Return what happens to a face, at every size and in every batch: a number made of its name."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])


def _attributes(root: Path, images: list[str]) -> dict[str, list[str]]:
    if not (root / INDEX).is_file() or not (root / HR_FOLDER).is_dir():
        return {}
    rows = {composed(row["image"]): row for row in read_index(root / INDEX, root / HR_FOLDER)}
    columns = [name for name in next(iter(rows.values())) if name not in ("image", "person", "source")]
    return {column: [rows.get(composed(image), {}).get(column, "") for image in images] for column in columns}


def _refuse_clashes(root: Path, keys: list[str]) -> None:
    seen: dict[str, str] = {}
    for key in keys:
        if other := seen.get(folded(key)):
            raise EvaluationDataError(f"{root}: {other!r} and {key!r} cannot be told apart by name; rename one")
        seen[folded(key)] = key
