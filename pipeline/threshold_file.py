"""Threshold files: a threshold with what it was chosen for, which other systems refuse."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.photographs.align import FACE_PX
from dataset.views.resolution import LARGEST_VLR_PX
from engine.errors import UserError
from engine.files import write_json
from engine.text import TextError, read_json

SCHEMA = "dsr-edgeface/threshold/2"


class ThresholdError(UserError):
    """A threshold that cannot be used."""


@dataclass(frozen=True)
class ThresholdFile:
    """A threshold with what it was chosen on.

    Attributes:
        value: Accept at or above it.
        by_size: A threshold for each input size in pixels instead, where they were asked for.
        target: What it was chosen for, as `--threshold` spells it.
        system: Key of the system, such as "dsr+finetuned".
        hashes: Hashes of the networks that the system is made of, as evaluations know them.
        files: SHA-256 of their files, as recognisers name them: edgeface, edgeface_small (fine-tuned), adapter, dsr.
        data: What it was chosen on: hash, people, images, sizes.
        achieved: Rates on that data, with intervals.
        flip: Whether the mirror image was added; recognisers always do.
    """

    value: float
    by_size: dict[int, float]
    target: str
    system: str
    hashes: dict[str, str]
    files: dict[str, str]
    data: dict[str, Any]
    achieved: dict[str, Any]
    flip: bool = True

    def at(self, size_px: int) -> float:
        """Return the threshold for a face of a size in pixels: its own, else that of the next smaller size.

        Larger faces than 32 px take the way of full-size ones, and so their threshold. 0 px, photographs of any low
        resolution, is no size that others could take after.
        """
        if size_px in self.by_size:
            return self.by_size[size_px]
        if size_px > LARGEST_VLR_PX and FACE_PX in self.by_size:
            return self.by_size[FACE_PX]
        below = [size for size in self.by_size if 0 < size < size_px]
        return self.by_size[max(below)] if below else self.value


def write_threshold(path: Path, chosen: ThresholdFile) -> None:
    """Write a threshold file, whole or not at all."""
    write_json(path, {"schema": SCHEMA, **vars(chosen)})


def read_threshold(path: Path) -> ThresholdFile:
    """Read a threshold file.

    Raises:
        ThresholdError: Missing, or not such a file; TextError: it is no text.
    """
    if not path.is_file():
        raise ThresholdError(f"{path}: no such threshold file; make it with python -m pipeline choose-threshold")
    try:
        values = read_json(path)
        if values.pop("schema") != SCHEMA:
            raise ValueError("schema")
        values["by_size"] = {int(size): float(value) for size, value in values["by_size"].items()}
        chosen = ThresholdFile(**values)
        if not all(-1 <= value <= 1 for value in [chosen.value, *chosen.by_size.values()]):
            raise ValueError("range")
        if not isinstance(chosen.flip, bool):
            raise ValueError("flip")
    except TextError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ThresholdError(f"{path}: not a threshold file of {SCHEMA}; choose it again") from None
    return chosen


def refuse_other_recogniser(path: Path, chosen: ThresholdFile, files: dict[str, str]) -> None:
    """Check that a threshold belongs to a recogniser.

    Args:
        path: The threshold file, for messages.
        chosen: What it holds.
        files: The recogniser's, as `ThresholdFile.files`; an edgeface_small that is the edgeface itself counts not.

    Raises:
        ThresholdError: It is made of other files, or the threshold was chosen without mirror images.
    """
    _refuse_other_flip(path, chosen, flip=True)
    own = {role: value for role, value in files.items() if role == "edgeface" or value != files.get("edgeface")}
    differing = sorted(role for role in own.keys() | chosen.files.keys() if own.get(role) != chosen.files.get(role))
    if differing:
        raise ThresholdError(
            f"{path}: chosen for the system {chosen.system!r}, whose {', '.join(differing)} differs here; choose a "
            "threshold for this recogniser, or pass --any-system to use it all the same"
        )


def refuse_other_system(path: Path, chosen: ThresholdFile, hashes: dict[str, str], flip: bool) -> None:
    """Check that a threshold belongs to the networks in use, with or without mirror images.

    Raises:
        ThresholdError: One of the networks differs, or is absent; or mirror images are added here and not there.
    """
    _refuse_other_flip(path, chosen, flip)
    for role, value in chosen.hashes.items():
        if hashes.get(role) != value:
            found = "absent" if role not in hashes else "another one"
            raise ThresholdError(
                f"{path}: chosen for the system {chosen.system!r}, whose {role} network is {found} here; choose a "
                "threshold for this system, or pass --any-system to use it all the same"
            )


def _refuse_other_flip(path: Path, chosen: ThresholdFile, flip: bool) -> None:
    if chosen.flip != flip:
        raise ThresholdError(
            f"{path}: chosen {'with' if chosen.flip else 'without'} mirror images, which are "
            f"{'added' if flip else 'not added'} here; choose it with {'--flip' if flip else '--no-flip'}, or pass "
            "--any-system to use it all the same"
        )
