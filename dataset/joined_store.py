"""The faces of a training: those of one prepared data set, or of several as one, with people or without."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.photographs.layout import split_folder
from dataset.store import FaceStore
from engine.errors import UserError
from engine.randomness import generator_for

UNKNOWN = -1
"""Person of a face of which nobody said whose it is."""


class JoinError(UserError):
    """Data sets that cannot be trained on together."""


class TrainingFaces(Protocol):
    """What a training needs of its faces: a `FaceStore`, or several joined."""

    path: Path
    people: Sequence[str]
    person: NDArray[np.int64]
    sha256: str

    def __len__(self) -> int:
        """Return how many faces there are."""
        ...

    def batch(self, rows: Sequence[int] | NDArray[np.int64] | Tensor) -> Tensor:
        """Return the faces of these rows: (B, 3, 112, 112) uint8 RGB, in channels-last memory order."""
        ...

    def expect(self, rows: NDArray[np.int64]) -> None:
        """Announce the rows that are asked for after the next ones, so that others may decode them meanwhile."""
        ...


class JoinedStore:
    """Several stores as one, row after row; people of different stores are different people.

    Args:
        stores: At least one.
        shares: What each gives of an epoch, in any unit; None: what each has.

    An epoch has as many faces as all stores together, whatever the shares.

    Attributes:
        path: Folder of the first.
        people: Names of the people of labelled stores, each behind the number of its store.
        person: (N,) index into `people`; `UNKNOWN` in stores without people.
        sha256: Identifies the content of all, in their order.
    """

    def __init__(self, stores: Sequence[FaceStore], shares: Sequence[float] | None = None) -> None:
        self.stores, self.path = list(stores), stores[0].path
        self._starts = np.cumsum([0, *map(len, stores)])
        parts: list[NDArray[np.int64]] = []
        people: list[str] = []
        for number, store in enumerate(stores, 1):
            known = np.asarray(store.person) + len(people)
            parts.append(known if store.labelled else np.full(len(store), UNKNOWN, np.int64))
            people += [f"{number}/{name}" for name in store.people] if store.labelled else []
        self.person: NDArray[np.int64] = np.concatenate(parts)
        self.people: Sequence[str] = people
        self.sha256 = hashlib.sha256("\n".join(store.sha256 for store in stores).encode()).hexdigest()
        self._counts = None if shares is None else _counts(shares, len(self))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batch(self, rows: Sequence[int] | NDArray[np.int64] | Tensor) -> Tensor:
        """Return the faces of these rows: (B, 3, 112, 112) uint8 RGB, in channels-last memory order."""
        wanted = np.asarray(rows, np.int64)
        number = np.searchsorted(self._starts, wanted, "right") - 1
        faces = np.empty((len(wanted), *self.stores[0].faces.shape[1:]), np.uint8)
        for each in np.unique(number):
            chosen = number == each
            faces[chosen] = self.stores[each].faces[wanted[chosen] - self._starts[each]]
        return torch.from_numpy(faces).permute(0, 3, 1, 2)

    def expect(self, rows: NDArray[np.int64]) -> None:
        """Announce the rows that are asked for after the next ones."""
        number = np.searchsorted(self._starts, rows, "right") - 1
        for each, store in enumerate(self.stores):
            store.expect(rows[number == each] - self._starts[each])

    def of_epoch(self, seed: int, epoch: int) -> Tensor | None:
        """Return the (N,) rows that an epoch shows, by the shares, store after store; None: each row once.

        Each store passes through its faces in an order of its own, and a new one at every pass: one that gives fewer
        than it has goes on with the others in the next epoch, one that gives more begins anew within it.
        """
        if self._counts is None:
            return None
        parts = [
            start + _stretch(len(store), epoch * count, count, (seed, number))
            for number, (start, count, store) in enumerate(
                zip(self._starts[:-1], self._counts, self.stores, strict=True)
            )
        ]
        return torch.cat(parts)


def open_training(folders: Sequence[Path], shares: str | None = None, readers: int = 0) -> FaceStore | JoinedStore:
    """Open the training faces of one or several data sets.

    Args:
        folders: Each with train_processed.
        shares: What each gives of an epoch, as numbers joined by commas; None: what it has.
        readers: Processes that decode the faces of each encoded one ahead of the training.

    Raises:
        StoreError: A data set that is missing or damaged.
        JoinError: No data set, one named twice, or shares that are none.
    """
    if not folders:
        raise JoinError("--dataset: at least one data set is needed")
    stores = [FaceStore.open(split_folder(folder, "train")) for folder in folders]
    given = None if shares is None else _parse_shares(shares, len(stores))
    first: dict[str, Path] = {}
    for folder, store in zip(folders, stores, strict=True):
        if store.sha256 in first:
            raise JoinError(
                f"--dataset {folder}: the same faces as {first[store.sha256]}; name each data set once, and say how "
                "much of it with --shares"
            )
        first[store.sha256] = folder
        store.decode_ahead(readers)
    return stores[0] if len(stores) == 1 and stores[0].labelled else JoinedStore(stores, given)


def open_validation(folders: Sequence[Path]) -> FaceStore:
    """Open the validation faces of the first data set that has some.

    Raises:
        StoreError: They are damaged, or there are none.
        JoinError: Several data sets, or one without people, and no validation faces in any.
    """
    found = [split_folder(folder, "val") for folder in folders]
    there = next((each for each in found if each.is_dir()), None)
    if there is None and (len(folders) > 1 or not FaceStore.open(split_folder(folders[0], "train")).labelled):
        raise JoinError(
            f"--dataset {', '.join(map(str, folders))}: nobody to validate on (no val_processed); add a data set that "
            "says whose the faces are"
        )
    store = FaceStore.open(there or found[0])
    if not store.labelled:
        raise JoinError(f"{store.path}: faces without people; nobody can be told from anybody on them")
    return store


def _parse_shares(text: str, count: int) -> list[float]:
    try:
        shares = [float(each) for each in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != count or not all(0 < share < float("inf") for share in shares):
        raise JoinError(f"--shares {text}: give a number above 0 for each --dataset ({count} now), such as 3,1")
    return shares


def _stretch(count: int, begin: int, length: int, place: tuple[int, int]) -> Tensor:
    """Return `length` rows from position `begin` of an endless row of passes, each through all `count` in its order."""
    end = begin + length
    parts = []
    for number in range(begin // count, -(-end // count)):
        order = torch.randperm(count, generator=generator_for(place[0], "share", place[1], number))
        parts.append(order[max(0, begin - number * count) : min(count, end - number * count)])
    return torch.cat(parts)


def _counts(shares: Sequence[float], total: int) -> list[int]:
    """Share `total` faces out; each store gives one at least."""
    ends = np.round(np.cumsum(shares) / np.sum(shares) * total).astype(int)
    counts = np.diff(ends, prepend=0)
    counts[counts.argmax()] -= int((counts == 0).sum())
    return [max(1, int(count)) for count in counts]
