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


class JoinedStore:
    """Several stores as one, row after row; people of different stores are different people.

    Args:
        stores: At least one.
        shares: What each gives of an epoch, in any unit; None: what each has.

    Attributes:
        path: Folder of the first.
        people: Names of the people of labelled stores, each behind the number of its store.
        person: (N,) index into `people`; `UNKNOWN` in stores without people.
        sha256: Identifies the content, and the shares.
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
        content = [*(f"{store.sha256} {store.labelled}" for store in stores), *map(str, shares or ())]
        self.sha256 = hashlib.sha256("\n".join(content).encode()).hexdigest()
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

    def of_epoch(self, epoch: int) -> Tensor | None:
        """Return the (N,) rows that an epoch shows, by the shares; None: each row once.

        A store that gives fewer faces than it has gives the next ones in the next epoch; one that gives more repeats.
        """
        if self._counts is None:
            return None
        parts = [
            start + (epoch * count + np.arange(count)) % len(store)
            for start, count, store in zip(self._starts, self._counts, self.stores, strict=False)
        ]
        return torch.from_numpy(np.concatenate(parts))


def open_training(folders: Sequence[Path], shares: str | None = None) -> FaceStore | JoinedStore:
    """Open the training faces of one or several data sets.

    Args:
        folders: Each with train_processed.
        shares: What each gives of an epoch, as numbers joined by commas; None: what it has.

    Raises:
        StoreError: A data set that is missing or damaged.
        JoinError: No data set, one named twice, or shares that are none.
    """
    if not folders:
        raise JoinError("--dataset: at least one data set is needed")
    real = [folder.resolve() for folder in folders]
    if len(set(real)) < len(real):
        raise JoinError(f"--dataset {folders[-1]}: named twice; name each data set once, and say more with --shares")
    stores = [FaceStore.open(split_folder(folder, "train")) for folder in folders]
    if len(stores) == 1 and stores[0].labelled and shares is None:
        return stores[0]
    return JoinedStore(stores, None if shares is None else _parse_shares(shares, len(stores)))


def open_validation(folders: Sequence[Path]) -> FaceStore:
    """Open the validation faces of the first data set that has some.

    Raises:
        StoreError: They are damaged, or there are none.
    """
    found = [split_folder(folder, "val") for folder in folders]
    return FaceStore.open(next((each for each in found if each.is_dir()), found[0]))


def _parse_shares(text: str, count: int) -> list[float]:
    try:
        shares = [float(each) for each in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != count or not all(0 < share < float("inf") for share in shares):
        raise JoinError(f"--shares {text}: give a number above 0 for each of the {count} data sets, such as 3,1")
    return shares


def _counts(shares: Sequence[float], total: int) -> list[int]:
    """Share `total` faces out; each store gives one at least."""
    ends = np.round(np.cumsum(shares) / np.sum(shares) * total).astype(int)
    return [max(1, int(count)) for count in np.diff(ends, prepend=0)]
