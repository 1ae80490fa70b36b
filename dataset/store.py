"""Aligned faces of one split as one memory-mapped array: a batch is a slice, nothing is decoded.

    faces.u8      N faces, uint8 (112, 112, 3) RGB, one after the other
    faces.index   int64: N person numbers, N + 1 offsets of image names, P + 1 offsets of people's names;
                  then the names as UTF-8, images first
    faces.json    version, count (N), people (P), size_px, and the SHA-256 of the files; written last. Where nobody
                  said whose the faces are, "labelled" is false, and all are of one person who is none

Names and numbers are memory-mapped too: a store of a million faces takes no more memory than one of ten thousand.
Where "store" says so, there are no pixels, and a batch is decoded (`dataset.encoded_faces`):

    encoded       faces.images, N images as they were compressed, and faces.offsets, int64: where each ends in it
    source        the file that "source" names, a RecordIO, and faces.offsets, int64: where each record begins in it
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.encoded_faces import EncodedFaces
from dataset.store_files import (
    AGAIN,
    FACES,
    HEADER,
    IMAGES,
    INDEX,
    OFFSETS,
    SIZE_PX,
    Names,
    StoreError,
    check_sizes,
    content_hash,
    kind_of,
    numbers_before_names,
    read_header,
)
from dataset.store_writer import StoreWriter
from engine.files import sha256_of


class Pixels(Protocol):
    """(N, 112, 112, 3) uint8 RGB, memory-mapped or decoded when asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 112, 112, 3)."""
        ...

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Return the faces of these rows, or of one."""
        ...


class FaceStore:
    """N aligned faces and whose they are; use `open` or `build`.

    Attributes:
        path: Folder that holds the three files.
        images: Name of each row, relative to `hr_images`, with forward slashes; reads like a list of str.
        people: Sorted names of the people; reads like a list of str.
        person: (N,) int64, index into `people`.
        faces: (N, 112, 112, 3) uint8 RGB, memory-mapped or decoded when asked for.
        sha256: Identifies the content: pixels, names and people.
        labelled: Whether it is known whose the faces are.
        kind: "raw", "encoded" or "source": where the faces are.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        count = int(header["count"])
        self.path = path
        self.sha256: str = header["sha256"]
        self.labelled = bool(header.get("labelled", True))
        self._header = header
        self.kind = kind_of(header)
        self._encoded = EncodedFaces(path, header) if self.kind != "raw" else None
        self.faces: Pixels = self._encoded or np.memmap(path / FACES, np.uint8, "r", shape=(count, SIZE_PX, SIZE_PX, 3))
        index = path / INDEX
        numbers = np.memmap(index, np.int64, "r", shape=(numbers_before_names(count, int(header["people"])),))
        self.person: NDArray[np.int64] = numbers[:count]
        of_images, of_people = numbers[count : 2 * count + 1], numbers[2 * count + 1 :]
        self.images: Sequence[str] = Names("face", index, of_images, numbers.nbytes)
        self.people: Sequence[str] = Names("person", index, of_people, numbers.nbytes + int(of_images[-1]))

    @classmethod
    def open(cls, path: str | Path) -> "FaceStore":
        """Open the store in a split's folder (or given by one of its files), checking sizes but not every byte.

        Raises:
            StoreError: It is missing, of another version, its files do not have the size they should have, or a face
                belongs to nobody.
        """
        folder = Path(path)
        if folder.name in (FACES, IMAGES, OFFSETS, INDEX, HEADER):
            folder = folder.parent
        header = read_header(folder)
        check_sizes(folder, header)
        store = cls(folder, header)
        if not 0 <= int(store.person.min()) <= int(store.person.max()) < len(store.people):
            raise StoreError(f"{folder / INDEX}: damaged, a face has a person who is not there; prepare it again")
        return store

    @classmethod
    def build(cls, path: Path, faces: Iterable[NDArray[np.uint8]], images: list[str], people: list[str]) -> "FaceStore":
        """Write a store into a folder and open it.

        Args:
            path: Folder; a store that is already there is replaced.
            faces: As many (112, 112, 3) uint8 RGB arrays as there are images; read one by one.
            images: Name of each row.
            people: Person of each row.

        Raises:
            StoreError: No faces, a face of another shape, or lists of different lengths.
        """
        if not images or len(images) != len(people):
            raise StoreError(
                f"{path}: {len(images)} images and {len(people)} people; a store needs one person an image"
            )
        count = 0
        with StoreWriter(path) as writer:
            for face in faces:
                if count == len(images):
                    raise StoreError(f"{path}: more than {count} faces; a store needs one image a face")
                writer.add(face, images[count], people[count])
                count += 1
            if count != len(images):
                raise StoreError(f"{path}: {count} faces for {len(images)} images; a store needs one face an image")
        return cls.open(path)

    def __len__(self) -> int:
        return len(self.person)

    def batch(self, rows: Sequence[int] | NDArray[np.int64] | Tensor) -> Tensor:
        """Return the faces of these rows: (B, 3, 112, 112) uint8 RGB, in channels-last memory order.

        Raises:
            IndexError: A row that is not there.
        """
        taken = self.faces[np.asarray(rows, np.int64)]
        return torch.from_numpy(taken).permute(0, 3, 1, 2)

    def decode_ahead(self, processes: int) -> None:
        """Start processes that decode what `expect` announces, where the faces are encoded."""
        if self._encoded:
            self._encoded.decode_ahead(processes)

    def expect(self, rows: NDArray[np.int64]) -> None:
        """Announce the rows that are asked for after the next ones."""
        if self._encoded:
            self._encoded.expect(rows)

    def verify(self) -> None:
        """Read every byte.

        Raises:
            StoreError: A file is not what was written; it is named.
        """
        for name, digest in self._header["files"].items():
            if sha256_of(self.path / name) != digest:
                raise StoreError(f"{self.path / name}: damaged, its checksum differs from {HEADER}'s; {AGAIN}")
        if self.kind == "source" and self._encoded and self._encoded.digest() != self._header["source"]["sha256"]:
            raise StoreError(f"{self._header['source']['file']}: its images are not those that {self.path} was made of")
        if self.sha256 != content_hash(self._header):
            raise StoreError(f"{self.path / HEADER}: damaged, its own checksum differs; {AGAIN}")
