"""Training batches: HR faces and their low-resolution views, each a function of (seed, epoch, index)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dataset.joined_store import JoinedStore, TrainingFaces
from dataset.views.augment import JITTER_DRAWS, blend, cutout, flip_some, jitter
from dataset.views.degrade import Degradation, low_resolution_canvas, realistic_canvas
from engine.errors import UserError
from engine.randomness import epoch_rows, generator_for, share_of

FULL_SIZE_PX = 112


class ViewError(UserError):
    """Options of the views that contradict each other."""


@dataclass(frozen=True)
class View:
    """How faces are shown to the network."""

    min_size_px: int = 6
    max_size_px: int = 32
    small_bias: bool = False
    """Draw sizes with a density of 1 / size instead of evenly."""
    hr_share: float = 0.0
    """Share of the batch that is shown at full size."""
    degradation: Degradation = "clean"
    jitter: float = 0.0
    blend: float = 0.0
    cutout: float = 0.0
    """Share of the low-resolution views with a patch hidden; the faces that should be seen are whole."""
    mirror: bool = True
    """Whether half of the faces are mirrored."""

    def __post_init__(self) -> None:
        if self.min_size_px > self.max_size_px:
            raise ViewError(f"--min-size {self.min_size_px}: larger than --max-size {self.max_size_px}")

    @property
    def changes_faces(self) -> bool:
        """Whether the full-size faces differ from the store's by more than a mirror."""
        return self.jitter > 0 or self.blend > 0


@dataclass(frozen=True)
class Batch:
    """One process's part of a batch; all on the training device."""

    faces: Tensor
    """(B, 3, 112, 112) RGB in [0, 1]: what should be seen."""
    canvas: Tensor
    """(B, 3, 112, 112) RGB in [0, 1]: the low-resolution view, enlarged by bicubic interpolation."""
    sizes_px: Tensor
    """(B,) int64: pixels a side of each view; 112 is the face itself."""
    person: Tensor
    """(B,) int64: whose face, or mostly whose where two were blended; `UNKNOWN` where nobody said."""
    rows: Tensor
    """(B,) int64: which face of the store, or the first of two that were blended."""
    mirrored: Tensor
    """(B,) bool: whether it was flipped."""
    draws: Tensor
    """(B, 3) in [0, 1), on the CPU: random numbers for the loss, which may look at faces a little displaced."""

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it by name."""
        return dict(vars(self))


class LowResolutionBatches:
    """Batches of a store, drawn for all processes together; each takes its share.

    Args:
        store: The faces.
        batch: Faces a batch, over all processes.
        view: How they are shown.
        seed: Seed of order, augmentation and sizes.
        device: Where the work is done.
        rank: Number of this process.
        world: Number of processes.
        epoch_batches: Batches that end an epoch early; 0 is all of the faces.

    Raises:
        ViewError: `batch` is not divisible by `world`.
    """

    def __init__(
        self,
        store: TrainingFaces,
        batch: int,
        view: View,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        epoch_batches: int = 0,
    ) -> None:
        if batch % world:
            raise ViewError(f"--batch {batch}: not divisible by {world} processes")
        self.store, self.view, self._batch, self._seed = store, view, batch, seed
        self._most = epoch_batches or len(store)
        self._device, self._rank, self._world = device, rank, world
        self._order: tuple[int, Tensor] | None = None
        self._after: tuple[tuple[int, int], dict[str, Tensor]] | None = None

    def __len__(self) -> int:
        """Batches an epoch."""
        return max(1, min(self._most, len(self.store) // self._batch))

    def at(self, epoch: int, index: int) -> Batch:
        """Return batch `index` of an epoch (both from 0)."""
        if self._order is None or self._order[0] != epoch:
            order = epoch_rows(len(self.store), self._batch, self._seed, epoch)
            shown = self.store.of_epoch(self._seed, epoch) if isinstance(self.store, JoinedStore) else None
            self._order = (epoch, order if shown is None else shown[order])
        mine = self._mine(self._order[1], epoch, index)
        if index + 1 < len(self._order[1]):
            after = self._mine(self._order[1], epoch, index + 1)
            self.store.expect(torch.cat([after["rows"], after["partners"]]).numpy())
            self._after = ((epoch, index + 1), after)
        return self._show(mine)

    def _mine(self, order: Tensor, epoch: int, index: int) -> dict[str, Tensor]:
        """Return this process's share of all random numbers of a batch."""
        if self._after is not None and self._after[0] == (epoch, index):
            return self._after[1]
        draws = self._draw(order[index], (epoch, index))
        return {name: share_of(values, self._rank, self._world) for name, values in draws.items()}

    def _draw(self, rows: Tensor, place: tuple[int, int]) -> dict[str, Tensor]:
        """Return all random numbers of a global batch, one row a face."""
        generator = generator_for(self._seed, "view", *place)
        view, count = self.view, len(rows)
        candidates = torch.arange(view.min_size_px, view.max_size_px + 1)
        density = 1 / candidates if view.small_bias else torch.ones(len(candidates))
        sizes = candidates[torch.multinomial(density, count, replacement=True, generator=generator)]
        full = torch.rand(count, generator=generator) < view.hr_share
        mask = torch.rand(count, 1, 3, 3, generator=generator)
        blended = torch.rand(count, generator=generator) < view.blend
        return {
            "rows": rows,
            "sizes": torch.where(full, FULL_SIZE_PX, sizes),
            "mirrored": torch.rand(count, generator=generator) < (0.5 if view.mirror else 0.0),
            "partners": rows[torch.randperm(count, generator=generator)],
            "mask": mask * blended[:, None, None, None],
            "jitter": torch.rand(count, JITTER_DRAWS, generator=generator),
            "loss": torch.rand(count, 3, generator=generator_for(self._seed, "loss", *place)),
            "seeds": torch.randint(2**62, (count,), generator=generator),
            "hidden": self._hidden(count, place),
        }

    def _hidden(self, count: int, place: tuple[int, int]) -> Tensor:
        generator = generator_for(self._seed, "cutout", *place)
        patch = torch.rand(count, 4, generator=generator)
        return patch * (torch.rand(count, 1, generator=generator) < self.view.cutout)

    def _read(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        faces = flip_some(self.store.batch(rows.numpy()), mirrored)  # as bytes, a quarter of the memory to move
        return faces.to(self._device, non_blocking=True).float().div_(255)

    def _show(self, draws: dict[str, Tensor]) -> Batch:
        view = self.view
        mirrored = draws["mirrored"]
        faces = self._read(draws["rows"], mirrored)
        if view.blend:
            faces = blend(faces, self._read(draws["partners"], mirrored), flip_some(draws["mask"], mirrored))
        if view.jitter:
            faces = jitter(faces, draws["jitter"], view.jitter)
        full = (draws["sizes"] == FULL_SIZE_PX).nonzero().flatten()
        canvas = faces if len(full) == len(faces) else self._canvas(faces, draws, full)
        if view.cutout:
            canvas = cutout(canvas, draws["hidden"].index_fill(0, full.cpu(), 0.0))
        mostly = torch.where(draws["mask"].mean((1, 2, 3)) > 0.5, draws["partners"], draws["rows"])
        person = torch.from_numpy(self.store.person[mostly.numpy()])
        sizes, person, rows, mirrored = (
            each.to(self._device) for each in (draws["sizes"], person, draws["rows"], mirrored)
        )
        return Batch(faces, canvas, sizes, person, rows, mirrored, draws["loss"])

    def _canvas(self, faces: Tensor, draws: dict[str, Tensor], full: Tensor) -> Tensor:
        """Return the views (B, 3, 112, 112): small faces enlarged, those of rows `full` as they are."""
        sizes = draws["sizes"].index_fill(0, full, self.view.max_size_px).to(self._device)
        real = self.view.degradation == "real"
        canvas = realistic_canvas(faces, sizes, draws["seeds"]) if real else low_resolution_canvas(faces, sizes)
        full = full.to(self._device)
        return canvas.index_copy_(0, full, faces[full])
