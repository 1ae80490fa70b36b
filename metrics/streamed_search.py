"""1:N searches in galleries of any size, exact, in bounded memory: templates pass once, block by block. NumPy only."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metrics.comparisons import FAILED_SCORE
from metrics.identification import Searches

Floats = NDArray[np.float32]

_BLOCK_SCORES = 1 << 22  # 16 MiB
_ROUNDING = 1e-5  # by how much two ways to sum 512 float32 products may differ


def stream_searches(
    probes: Floats,
    probe_person: NDArray[np.int64],
    templates: Floats,
    people: NDArray[np.int64],
    strangers: Sequence[Floats] = (),
) -> Searches:
    """Search every probe among all templates; equal to `searches` on the whole matrix of scores.

    A score that cannot be told from the mate's in float32 is summed again in the mate's way, so that a stranger with
    the same template is a tie, and ties are pessimistic.

    Args:
        probes: (P, D) unit embeddings; rows of NaN are failures.
        probe_person: (P,) whose face each is.
        templates: (G, D) unit embeddings, in memory.
        people: (G,) sorted, whose each is.
        strangers: Further (N, D) templates of people who do not search, arrays or memory maps.
    """
    mated = np.isin(probe_person, people)
    own = np.searchsorted(people, probe_person[mated])
    known, unknown = probes[mated], probes[~mated]
    mate = _dots(known, templates[own])
    rank, top = np.ones(len(known), np.int64), np.full(len(unknown), FAILED_SCORE, np.float32)
    for start, block in _blocks([templates, *strangers], len(probes)):
        scores = block @ known.T
        np.nan_to_num(scores, copy=False, nan=FAILED_SCORE)
        inside = np.flatnonzero((own >= start) & (own < start + len(block)))
        scores[own[inside] - start, inside] = -np.inf  # the mate is no stranger
        rank += _ahead(scores, mate, block, known)
        np.fmax(top, np.fmax.reduce(block @ unknown.T, axis=0), out=top)
    return Searches(mate, rank, top, len(templates) + sum(map(len, strangers)))


def _ahead(scores: Floats, mate: Floats, block: Floats, known: Floats) -> NDArray[np.int64]:
    """Return (K,) how many templates of a block score at least as much as the mate."""
    over = scores >= mate - np.float32(_ROUNDING)
    row, probe = np.nonzero(over & (scores <= mate + np.float32(_ROUNDING)))
    below = _dots(known[probe], block[row]) < mate[probe]
    ahead: NDArray[np.int64] = over.sum(axis=0) - np.bincount(probe[below], minlength=len(mate))
    return ahead


def _dots(first: Floats, second: Floats) -> Floats:
    found: Floats = np.einsum("nd,nd->n", first, second)
    return np.nan_to_num(found, copy=False, nan=FAILED_SCORE)


def _blocks(parts: Iterable[Floats], probes: int) -> Iterator[tuple[int, Floats]]:
    """Yield (number of the first template, block) of all parts in turn."""
    parts = list(parts)
    height, start = max(64, _BLOCK_SCORES // max(1, probes)), 0
    with tqdm(total=sum(map(len, parts)), unit="template", desc="searching", leave=False, mininterval=1) as bar:
        for part in parts:
            for at in range(0, len(part), height):
                block = np.asarray(part[at : at + height], np.float32)
                yield start + at, block
                bar.update(len(block))
            start += len(part)
