"""Where a weights file comes from: a path, a bare name in the search path, or a model hub."""

import logging
import os
from pathlib import Path

from facial_rec.loading.hub import HUB_SCHEME, OFFICIAL, fetch
from facial_rec.loading.refusals import WeightsNotFoundError

WEIGHTS_FOLDER = Path(__file__).parents[1] / "edgeface_weights"
FOLDER_VARIABLE = "EDGEFACE_WEIGHTS"
AUTO = "auto"
SYNTHETIC = "edgeface_xxs_synthetic"
"""The weights that ship: an EdgeFace-XXS that was trained on drawn people alone."""
_PUBLISHED = ("edgeface_xxs", "edgeface_xxs_q")
WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors", ".ts", ".torchscript", ".pt2")

log = logging.getLogger(__name__)


def search_path() -> list[Path]:
    """Return the folders in which a bare name is looked up, in order."""
    folders = [Path(), WEIGHTS_FOLDER]
    named = os.environ.get(FOLDER_VARIABLE)
    return [*folders, Path(named)] if named else folders


def find_weights(name: str | Path) -> Path:
    """Find a weights file.

    Args:
        name: A path; a bare name, looked up in the working directory, `facial_rec/edgeface_weights/` and the folder
            that the environment variable EDGEFACE_WEIGHTS names; `hf://owner/name[/file]` on the model hub.

    Returns:
        The file. Where several folders hold the name, the first one's, and a warning says so.

    Raises:
        WeightsNotFoundError: There is no such file.
        HubError: The hub did not deliver it.
    """
    text = str(name)
    if text.startswith(HUB_SCHEME):
        return fetch(text)
    path = Path(name).expanduser()
    if path.name != text:
        return path
    found = _candidates(text)
    if not found:
        if path.exists():
            return path
        raise WeightsNotFoundError(_not_found(text))
    if len(found) > 1:
        log.warning("%s: %d files of that name; taken: %s, not %s", text, len(found), found[0], found[1])
    return found[0]


def named_weights(name: str) -> str:
    """Return the name that `name` stands for.

    Args:
        name: As `find_weights` takes it; "auto" is EdgeFace-XXS as published where it is found, else the weights that
            ship, and then a line says so.

    Returns:
        A name for `find_weights`, the same whatever is found later.
    """
    if name != AUTO:
        return name
    for published in _PUBLISHED:
        if found := _candidates(published):
            return found[0].name
    log.warning(
        "no official EdgeFace-XXS found: %s is taken, which ships and knows drawn people alone; for real ones: "
        "python -m facial_rec get edgeface_xxs",
        SYNTHETIC,
    )
    return SYNTHETIC


def _candidates(name: str) -> list[Path]:
    """Return the files of a bare name in the search path, the first folder's first."""
    found = [folder / (name + suffix) for folder in search_path() for suffix in ("", *WEIGHTS_SUFFIXES)]
    return _distinct([candidate for candidate in found if candidate.is_file()])


def _distinct(paths: list[Path]) -> list[Path]:
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _not_found(name: str) -> str:
    folders = ", ".join(str(folder) for folder in search_path())
    stem = Path(name).stem
    remedy = f"python -m facial_rec get {stem}" if stem in OFFICIAL else "check the name, or give a path"
    return f"{name}: not found in {folders}; {remedy}"
