"""`--threshold` of the commands that recognise: a number, or a file made by `choose-threshold`."""

from pathlib import Path

from pipeline.recognition.backends import Backend
from pipeline.threshold_file import ThresholdError, ThresholdFile, read_threshold, refuse_other_recogniser


def threshold_option(text: str, recogniser: Backend, any_system: bool) -> ThresholdFile | float:
    """Read `0.35` or `@FILE`.

    Args:
        text: What the user gave.
        recogniser: What the threshold is for.
        any_system: Take a file that was chosen for another system.

    Returns:
        The number, or the file, which may hold a threshold for each size of a face.

    Raises:
        ThresholdError: Neither, a number outside [-1, 1], or a file of another system.
    """
    if text.startswith("@"):
        path = Path(text[1:])
        chosen = read_threshold(path)
        if not any_system:
            refuse_other_recogniser(path, chosen, recogniser.hashes)
        return chosen
    try:
        value = float(text)
    except ValueError:
        value = 2.0
    if not -1 <= value <= 1:
        raise ThresholdError(f"--threshold {text}: give a number in [-1, 1] or @FILE")
    return value


def threshold_at(chosen: ThresholdFile | float, size_px: int) -> float:
    """Return the threshold for a face of a size in pixels; see `ThresholdFile.at`."""
    return chosen if isinstance(chosen, float) else chosen.at(size_px)
