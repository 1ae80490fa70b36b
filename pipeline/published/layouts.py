"""One table of the published protocols: how each test set is read, and at which sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from engine.errors import UserError
from pipeline.evaluation.input_sizes import listed_sizes
from pipeline.published.fold_pairs import open_bin, open_xqlfw
from pipeline.published.ijb import open_ijbc
from pipeline.published.published_set import AS_THEY_ARE, Condition, PublishedSet
from pipeline.published.scface import open_scface
from pipeline.published.survface import open_survface
from pipeline.published.tinyface import open_tinyface

Name = Literal["bin", "tinyface", "survface", "scface", "ijbc", "xqlfw"]
_LAYOUTS: dict[Name, Callable[[Path], PublishedSet]] = {
    "bin": open_bin,
    "tinyface": open_tinyface,
    "survface": open_survface,
    "scface": open_scface,
    "ijbc": open_ijbc,
    "xqlfw": open_xqlfw,
}
SHRINKING = "bin"
"""The protocol whose faces are all of full size, so that shrinking them says something."""


def open_published(protocol: Name, root: Path) -> PublishedSet:
    """Read a test set.

    Raises:
        UserError: It is not there, or not laid out as it was published.
    """
    if not root.exists():
        raise UserError(f"{root}: no such file or folder; check the path")
    return _LAYOUTS[protocol](root)


def conditions(protocol: str, sizes: str | None) -> tuple[Condition, ...]:
    """Return at which sizes both sides are compared.

    Args:
        protocol: Its name.
        sizes: Pixels joined by commas, for each of which one side and then both are shrunk; None: none.

    Raises:
        UserError: Sizes for a set whose faces are small by themselves.
    """
    if sizes is None:
        return AS_THEY_ARE
    if protocol != SHRINKING:
        raise UserError(f"--sizes {sizes}: the faces of {protocol} are compared as they are; leave it out")
    shrunk = [
        condition
        for size in sorted(listed_sizes(sizes))
        for condition in (
            Condition(f"one side at {size} px", probe_px=size),
            Condition(f"both sides at {size} px", size, size),
        )
    ]
    return (Condition("full size"), *shrunk)
