"""Verification on held-out people, as both trainings use it to choose their best weights."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataset.store import FaceStore
from dataset.views.degrade import Degradation, enlarge, realistic_canvas, shrink
from engine.errors import UserError
from engine.randomness import generator_for
from metrics.verification import best_accuracy, eer, tar_at_far

SIZES_PX = (8, 12, 16, 24, 32)
BATCH = 64
# A face that is exactly the original, as a black one easily is, counts as one that is off by 8-bit rounding alone.
_ROUNDING_ERROR = 1 / (12 * 255**2)
# What the best epoch is chosen by: the first that can be measured.
_RANKINGS = {"tar@far=1e-3": "TAR at FAR 0.1 %", "tar@far=1e-2": "TAR at FAR 1 %", "accuracy": "accuracy"}

Restore = Callable[[Tensor], Tensor]
"""(B, 3, 112, 112) bicubic canvas in [0, 1] -> (B, 3, 112, 112) in [0, 1]."""


class ValidationError(UserError):
    """A validation split on which verification cannot be measured."""


class VerificationSet:
    """Held-out faces with their HR embeddings: the gallery that each measurement is made against.

    Each pair has an HR face, embedded by the original recogniser, on one side and another photograph, shown at low
    resolution, on the other: all such pairs, genuine and impostor.

    Args:
        store: Faces of people who take no part in the training.
        gallery: The original recogniser.
        limit: Most faces used, of as many people as possible: everybody gives two before anybody gives a third, and
            those with one photograph come last. Drawn by a fixed seed.
        degradation: How faces become small; "real" is the same for a face at each measurement.

    Raises:
        ValidationError: Fewer than two people, or nobody with two photographs.
    """

    def __init__(
        self, store: FaceStore, gallery: nn.Module, limit: int = 1000, degradation: Degradation = "clean"
    ) -> None:
        self._degradation = degradation
        rows = _choose_rows(store.person, limit)
        self.person = store.person[rows]
        people = len(set(self.person))
        if people < 2 or people == len(rows):
            whole = len(rows) == len(store.person)
            raise ValidationError(
                f"{store.path}: verification needs two people and somebody with two photographs; {len(rows)} "
                f"photographs show {people} of them; "
                + ("prepare a larger set" if whole else f"raise --validation-faces, {limit} now")
            )
        self._store, self._rows = store, rows
        self.recogniser = gallery
        self.device = next(gallery.parameters(), torch.zeros(0)).device
        self.samples = self._faces(np.arange(min(10, len(rows))))

    def __str__(self) -> str:
        faces, people = len(self.person), len(set(self.person))
        whole = len(self._store), len(self._store.people)
        drawn = f", drawn from {whole[0]:,} of {whole[1]:,}" if faces < whole[0] else ""
        return f"{faces:,} faces of {people:,} people{drawn}"

    @property
    def ranked_by(self) -> str:
        """What `ranking` compares here, in words: which rates can be measured depends on the pairs of two people."""
        _, counts = np.unique(self.person, return_counts=True)
        impostor = np.zeros(len(self.person) ** 2 - int(np.square(counts).sum()), np.float32)
        figures = {
            f"tar@far={name}": _tar(impostor[:1], impostor, far) for name, far in (("1e-3", 1e-3), ("1e-2", 1e-2))
        }
        return f"mean {_RANKINGS[_ranked_by([figures | {'accuracy': 0.0}])]} over sizes"

    @cached_property
    def gallery(self) -> Tensor:
        """Unit embeddings (N, D) of the full-size faces, made when they are first needed."""
        return self.embed(lambda faces: faces, self.recogniser)

    def measure(
        self,
        restore: Restore,
        recogniser: nn.Module | None = None,
        sizes_px: tuple[int, ...] = SIZES_PX,
        pictures: bool = False,
    ) -> dict[str, dict[str, Any]]:
        """Return identity loss, TAR at FAR 1 % and 0.1 %, EER and accuracy for each size.

        Args:
            restore: The super-resolver.
            recogniser: Embeds the restored faces; None is the gallery's own.
            sizes_px: Sizes to shrink to; 112 leaves the face as it is and skips `restore`.
            pictures: Measure PSNR and SSIM too, which costs more than all the rest.
        """
        return {str(size): self._measure(size, restore, recogniser or self.recogniser, pictures) for size in sizes_px}

    @torch.no_grad()
    def _measure(self, size_px: int, restore: Restore, recogniser: nn.Module, pictures: bool) -> dict[str, Any]:
        embeddings: list[Tensor] = []
        sums = {"psnr": 0.0, "ssim": 0.0} if pictures else {}
        for rows in np.array_split(np.arange(len(self._rows)), -(-len(self._rows) // BATCH)):
            faces = self._faces(rows)
            seen = restore(self._small(faces, rows, size_px)).float() if size_px < faces.shape[-1] else faces
            embeddings.append(recogniser(seen))
            for name, value in _likeness(seen, faces).items() if pictures else ():
                sums[name] += value * len(rows)
        means = {name: value / len(self._rows) for name, value in sums.items()}
        return {**means, **self._verify(torch.cat(embeddings))}

    def _small(self, faces: Tensor, rows: "np.ndarray[Any, Any]", size_px: int) -> Tensor:
        if self._degradation == "clean":
            return enlarge(shrink(faces, size_px))
        return realistic_canvas(faces, torch.full((len(faces),), size_px), torch.from_numpy(self._rows[rows]).long())

    def _verify(self, probes: Tensor) -> dict[str, Any]:
        scores = (self.gallery @ probes.T).cpu().numpy()
        same = self.person[:, None] == self.person[None, :]
        other_photograph = ~np.eye(len(self.person), dtype=bool)
        genuine, impostor = np.sort(scores[same & other_photograph]), np.sort(scores[~same])
        return {
            "identity": 1 - float((self.gallery * probes).sum(1).mean()),
            "tar@far=1e-2": _tar(genuine, impostor, 1e-2),
            "tar@far=1e-3": _tar(genuine, impostor, 1e-3),
            "eer": eer(genuine, impostor).value,
            "accuracy": best_accuracy(genuine, impostor),
            "genuine_mean": float(genuine.mean()),
            "impostor_mean": float(impostor.mean()),
        }

    def _faces(self, rows: "np.ndarray[Any, Any]") -> Tensor:
        return self._store.batch(self._rows[rows]).to(self.device).float() / 255

    @torch.no_grad()
    def embed(self, restore: Restore, recogniser: nn.Module) -> Tensor:
        """Return the unit embeddings (N, D) of the full-size faces after `restore`."""
        parts = np.array_split(np.arange(len(self._rows)), -(-len(self._rows) // BATCH))
        return torch.cat([recogniser(restore(self._faces(rows))) for rows in parts])


def _likeness(seen: Tensor, faces: Tensor) -> dict[str, float]:
    """Return mean PSNR and SSIM; PSNR is at most 58.9 dB a face, so that no face makes the mean infinite."""
    # here, since two seconds of imports are not for --help to wait for
    from torchmetrics.functional.image import structural_similarity_index_measure

    errors = (seen - faces).square().mean(dim=(1, 2, 3)).clamp(min=_ROUNDING_ERROR)
    ssim = structural_similarity_index_measure(seen, faces, data_range=1.0)
    return {"psnr": float(-10 * errors.log10().mean()), "ssim": float(ssim if isinstance(ssim, Tensor) else ssim[0])}


def ranking(measured: dict[str, dict[str, Any]]) -> float:
    """Return what the best epoch is chosen by: mean TAR over the sizes, at FAR 0.1 %, or 1 % with few impostors."""
    name = _ranked_by(list(measured.values()))
    return float(np.mean([figures[name] for figures in measured.values()]))


def _ranked_by(measured: list[dict[str, Any]]) -> str:
    return next(name for name in _RANKINGS if all(figures[name] is not None for figures in measured))


def table_line(measured: dict[str, dict[str, Any]], name: str = "tar@far=1e-2") -> str:
    """Return one figure of each size as text, as "8: 0.312  12: 0.701"."""
    cells = {size: figures[name] for size, figures in measured.items()}
    return "  ".join(
        f"{size}: " + ("not measurable" if value is None else f"{value:.3f}") for size, value in cells.items()
    )


def _tar(genuine: "np.ndarray[Any, Any]", impostor: "np.ndarray[Any, Any]", far: float) -> float | None:
    result = tar_at_far(genuine, impostor, far)
    return result.tar if result.measurable else None


def _choose_rows(person: "np.ndarray[Any, Any]", limit: int) -> "np.ndarray[Any, Any]":
    """Return up to `limit` sorted rows, shared out so that no person crowds out the others.

    In turn everybody with several photographs gives two, then a third, and so on; those with one photograph come last.
    People and their photographs are drawn by a fixed seed.
    """
    draw = generator_for(0, "validation")
    _, number, counts = np.unique(person, return_inverse=True, return_counts=True)
    turn_of = torch.randperm(len(counts), generator=draw).numpy()[number]
    drawn = torch.randperm(len(person), generator=draw).numpy()
    by_person = drawn[np.argsort(number[drawn], kind="stable")]
    starts = np.cumsum(counts) - counts
    earlier = np.empty(len(person), np.int64)  # how many photographs the person gave before this one
    earlier[by_person] = np.arange(len(person)) - starts[number[by_person]]
    order = np.lexsort((earlier, turn_of, np.maximum(earlier, 1), counts[number] < 2))
    taken = order[:limit]
    if counts[number[taken[-1]]] > 1 and earlier[taken[-1]] == 0:
        taken = taken[:-1]  # a person's first photograph without the second makes no genuine pair
    return np.sort(taken)
