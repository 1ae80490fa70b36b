"""Reading a passphrase from a file, so that it stands neither in the shell's history nor in the process list."""

from pathlib import Path

from pipeline.recognition.template_cipher import PassphraseError


def read_passphrase(path: Path | None) -> str | None:
    """Return the first line of a file, None without one.

    Raises:
        PassphraseError: The file is missing, not text, or its first line is empty.
    """
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        raise PassphraseError(f"{path}: no such text file; write the passphrase on its first line") from None
    if not lines or not lines[0]:
        raise PassphraseError(f"{path}: its first line is empty; write the passphrase there")
    return lines[0]
