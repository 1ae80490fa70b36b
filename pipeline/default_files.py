"""What a command works on when it is not told: the files that earlier commands left, by their default names."""

from pathlib import Path

from dsr.dsr_file import PRETRAINED, dsr_file
from engine.errors import UserError
from engine.text import read_json
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.adapter import Extent, shipped_adapter
from facial_rec.loading.sources import AUTO, named_weights

DSR_RUN, FINETUNED_RUN = Path("runs/dsr"), Path("runs/edgeface")


def choose_edgeface(given: str | None) -> str:
    """Return the weights given, else those that the super-resolver was trained against, else `sources.AUTO`'s."""
    if given is not None:
        return named_weights(given)
    for run in (FINETUNED_RUN, DSR_RUN):
        path = run / "config.json"
        try:
            found = read_json(path)["options"]["edgeface"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return str(found[0] if isinstance(found, list) else found)
    return named_weights(AUTO)


def choose_dsr(given: str) -> Path | None:
    """Return a super-resolver's file.

    Args:
        given: A path; "auto" for that of the last training, else the one that ships with the package if there is
            one; "default" for the latter; "none".

    Raises:
        UserError: The file is not there.
    """
    if given == "none":
        return None
    if given == "auto":
        found = [path for path in (DSR_RUN / "best.pth", PRETRAINED) if path.is_file()]
        return found[0] if found else None
    return _existing(dsr_file(given), "super-resolver")


def choose_finetuned(given: str) -> Path | None:
    """Return a fine-tuned recogniser's file: a path, "auto" for that of the last fine-tuning if any, or "none"."""
    if given == "none":
        return None
    path = FINETUNED_RUN / "edgeface_finetuned.pth"
    return (path if path.is_file() else None) if given == "auto" else _existing(Path(given), "fine-tuned EdgeFace")


def choose_adapter(given: str, original: EdgeFaceEmbedding) -> Path | None:
    """Return an adapter's file.

    Args:
        given: A path; "full" or "small" for the one that ships for these weights; "auto" for the full one, if any;
            "none".
        original: What it adapts.

    Raises:
        UserError: The file is not there, or none of that kind ships for these weights.
    """
    if given == "none":
        return None
    if given not in ("auto", "full", "small"):
        return _existing(Path(given), "adapter")
    extent: Extent = "small" if given == "small" else "full"
    found = shipped_adapter(original.network.state_dict(), extent) if original.network is not None else None
    if found is None and given != "auto":
        raise UserError(f"--adapter {given}: none ships for {original.source}; give a file, auto or none")
    return found


def choose_tuned(finetuned: str, adapter: str) -> tuple[Path | None, str]:
    """Return what embeds small faces: one fine-tuned EdgeFace, or the original with an adapter, not both.

    Args:
        finetuned: As `choose_finetuned` takes it; "auto" gives way to an adapter that was asked for.
        adapter: As `choose_adapter` takes it; "auto" gives way to a fine-tuned EdgeFace.

    Returns:
        The fine-tuned file or None, and the adapter to choose.

    Raises:
        UserError: Both were asked for.
    """
    asked = adapter not in ("auto", "none")
    if asked and finetuned not in ("auto", "none"):
        raise UserError(f"--finetuned {finetuned} and --adapter {adapter}: one of them embeds small faces; give one")
    tuned = None if asked else choose_finetuned(finetuned)
    return tuned, adapter if tuned is None else "none"


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such {what}; check the path, or pass none to leave it out")
    return path
