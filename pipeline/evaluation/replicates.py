"""The bootstrap replicates of a report, kept beside it so that two reports can be set against each other in pairs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.files import atomic_path, read_arrays
from pipeline.evaluation.course import Measured
from pipeline.evaluation.measures import Json

NAME = "replicates.npz"


class ReplicatesError(UserError):
    """Replicates that cannot be read."""


def replicate_key(result: Json, figure: str) -> str:
    """Return the name of an array: system, input size and figure."""
    return f"{result['system']}|{result['size_px']}|{figure}"


def write_replicates(folder: Path, measured: list[Measured]) -> None:
    """Write every cell's replicates."""
    arrays = {
        replicate_key(cell.figures, figure): values.astype(np.float32)
        for cell in measured
        for figure, values in cell.replicates.items()
    }
    with atomic_path(folder / NAME) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_replicates(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Read them; none where the report has no intervals.

    Raises:
        ReplicatesError: The file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    try:
        return {name: values.astype(np.float64) for name, values in read_arrays(path).items()}
    except ValueError as error:
        raise ReplicatesError(f"{path}: damaged ({error}); evaluate again") from None
