"""Reading a passphrase from a file, so that it stands neither in the shell's history nor in the process list."""

from pathlib import Path

from engine.text import read_lines
from pipeline.recognition.template_cipher import PassphraseError


def read_passphrase(path: Path | None) -> str | None:
    """Return the first line of a file, None without one.

    Raises:
        PassphraseError: The file is missing, or its first line is empty.
        TextError: It is no text.
    """
    if path is None:
        return None
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        raise PassphraseError(f"{path}: no such file; write the passphrase on its first line") from None
    if not lines or not lines[0]:
        raise PassphraseError(f"{path}: its first line is empty; write the passphrase there")
    return lines[0]
