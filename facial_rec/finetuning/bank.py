"""The other faces that a loss relates each face to: the batch's, or a memory bank's drawn from all training faces."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dataset.joined_store import TrainingFaces
from engine.randomness import generator_for

BATCH = 64
NEAR = 0.4
"""Bank faces with a cosine above this to a face's own target may show the same person: they are no negatives."""


@torch.no_grad()
def memory_bank(recogniser: nn.Module, store: TrainingFaces, count: int, seed: int, device: torch.device) -> Tensor:
    """Embed faces drawn from a whole store, where a batch holds only a few dozen.

    Args:
        recogniser: Frozen: (B, 3, 112, 112) RGB in [0, 1] -> (B, D) unit embeddings.
        store: The training faces.
        count: Faces to draw; all of them where there are fewer.
        seed: Of the draw.
        device: Where the recogniser is.

    Returns:
        (min(count, N), D) unit embeddings.

    Source: a memory of targets for relational distillation, arXiv 2508.11376.
    """
    rows = torch.randperm(len(store), generator=generator_for(seed, "bank"))[:count].sort().values
    parts = (store.batch(part).to(device).float().div_(255) for part in torch.split(rows, BATCH))
    return torch.cat([recogniser(faces) for faces in parts])


def others(
    targets: Tensor, person: Tensor, gather: Callable[[Tensor], Tensor], bank: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return (G, D) embeddings of other faces, and (B, G) which of them may show the same person as each face.

    Args:
        targets: (B, D) the original's unit embeddings of the batch at full size.
        person: (B,) numbers of its people; below 0 where nobody said whose a face is, which may be anybody's.
        gather: Collects tensors of all processes.
        bank: (G, D) that of `memory_bank`; without it the whole (global) batch.
    """
    if bank is not None:
        return bank, targets @ bank.T > NEAR
    one, other = person[:, None], gather(person)[None, :]
    return gather(targets), (one == other) | (one < 0) | (other < 0)
