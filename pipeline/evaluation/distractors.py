"""Strangers enrolled beside the gallery, to make it as large as the one in use (as MegaFace does)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facial_rec.networks.edgeface import EMBEDDING_SIZE
from pipeline.evaluation.embedder import Embedder
from pipeline.evaluation.faces import HR_PX, EvaluationDataError, Split, open_other_split
from pipeline.evaluation.systems import System

_LOOKED_AT = 1000


def load_distractors(
    path: Path, evaluated: Split, systems: list[System], embedder_of: Callable[[Split], Embedder]
) -> dict[str, NDArray[np.float32]]:
    """Return the strangers' templates for each gallery, by the key of the full-size row that embeds it.

    Args:
        path: A split's folder, whose full-size faces are embedded; or an .npy of (N, 512) unit embeddings by the
            original EdgeFace, which stays on the disk and is read block by block.
        evaluated: The split under evaluation, whose people must not be among them.
        systems: The rows.
        embedder_of: Makes the embedder of a split.

    Raises:
        EvaluationDataError: Neither; people of the evaluated split; or embeddings that are no unit vectors.
    """
    galleries = [system for system in systems if system.key in {system.gallery for system in systems}]
    if path.suffix != ".npy":
        return embedder_of(open_other_split(path, evaluated, "--distractors")).embed(galleries, HR_PX)
    if len(galleries) > 1:
        raise EvaluationDataError(
            f"--distractors {path}: embeddings of the original EdgeFace say nothing to the unseen one; "
            "give a split's folder, or leave --unseen out"
        )
    try:
        values = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise EvaluationDataError(f"--distractors {path}: no readable .npy array ({error})") from None
    if values.ndim != 2 or values.shape[1] != EMBEDDING_SIZE or values.dtype not in (np.float16, np.float32):
        raise EvaluationDataError(
            f"--distractors {path}: {values.dtype} {values.shape}, needed are float32 or float16 (N, {EMBEDDING_SIZE})"
        )
    lengths = np.linalg.norm(values[:_LOOKED_AT].astype(np.float32), axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        raise EvaluationDataError(f"--distractors {path}: embeddings are not of length 1; normalise them")
    return {galleries[0].key: values}
