"""Enrolled people in one SQLite file: whole transactions, any number of processes, deletions that delete.

The rollback journal is kept (not a write-ahead log), so that a gallery at rest is one file and nothing beside it.
`secure_delete` overwrites what is removed with zeros, and each journal, where SQLite keeps the pages as they were, is
overwritten before it is deleted. SQLite, https://www.sqlite.org/pragma.html.
"""

import os
import sqlite3
import unicodedata
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from engine.text import composed
from pipeline.recognition.sqlite_file import WAIT_SECONDS, GalleryError, check_file, in_one_line, write_new, writing
from pipeline.recognition.template_cipher import SALT_BYTES, PassphraseError, TemplateCipher

__all__ = ["EMBEDDING_SIZE", "Enrolment", "Gallery", "GalleryError", "person_name"]

EMBEDDING_SIZE = 512
_LONGEST_NAME = 200
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class Enrolment:
    """One enrolled photograph.

    Attributes:
        person: Whose face it is.
        source: SHA-256 of the photograph.
        quality: The detector's confidence, 1 for a crop.
        size_px: Native side of the face in the photograph.
        added: UTC time, ISO 8601.
    """

    person: str
    source: str
    quality: float
    size_px: int
    added: str


class Gallery:
    """An open gallery; use `create` or `open`, as a context manager."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._cipher: TemplateCipher | None = None
        self._is_encrypted = False

    @classmethod
    def create(cls, path: Path, model: str, threshold: float, passphrase: str | None = None) -> None:
        """Write an empty gallery; it appears whole, and one that another process made meanwhile is kept.

        Args:
            path: The file.
            model: Hash of the recogniser whose embeddings it will hold.
            threshold: Lowest cosine similarity that is taken for the same person.
            passphrase: Encrypts the templates.

        Raises:
            GalleryError: It cannot be written.
        """
        settings: dict[str, str | bytes | float] = {"model": model, "threshold": threshold}
        if passphrase is not None:
            salt = os.urandom(SALT_BYTES)
            settings |= {"salt": salt, "proof": TemplateCipher(passphrase, salt).proof()}
        write_new(path, settings)

    @classmethod
    def open(cls, path: Path, model: str | None = None, passphrase: str | None = None) -> "Gallery":
        """Open a gallery without changing it.

        Args:
            path: The file.
            model: Hash of the recogniser that will ask; None skips the comparison (listing, removing).
            passphrase: For a gallery whose templates are encrypted.

        Raises:
            GalleryError: Missing, empty, damaged, not a gallery, or of another model.
            PassphraseError: The passphrase is missing, needless or wrong.
        """
        check_file(path)
        mode = "rw" if os.access(path, os.W_OK) else "ro"
        with in_one_line(path):
            uri = f"{path.absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        gallery = cls(path, connection)
        try:
            gallery._prepare(model)
            gallery._unlock(model, passphrase)
        except BaseException:
            connection.close()
            raise
        return gallery

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def threshold(self) -> float:
        """Lowest cosine similarity that is taken for the same person."""
        return float(self._setting("threshold"))

    @property
    def model(self) -> str:
        """Hash of the recogniser whose embeddings are inside."""
        return self._setting("model").decode()

    def add(self, person: str, embedding: NDArray[np.float32], source: str, quality: float, size_px: int) -> bool:
        """Enrol one photograph; once this returns, it survives a power cut.

        Args:
            person: A name in any script.
            embedding: (512,) of unit length.
            source: SHA-256 of the photograph.
            quality: Confidence in the face, 0 to 1.
            size_px: Native side of the face.

        Returns:
            False if this photograph of this person was already there.

        Raises:
            GalleryError: The name is unusable, the embedding is not a unit vector, or the file cannot be written.
            PassphraseError: It was opened without the passphrase that it needs.
        """
        name = person_name(person)
        template, cipher = _template_bytes(embedding), self._unlocked()
        if cipher is not None:
            template = cipher.seal(template, name)
        added = datetime.now(UTC).isoformat(timespec="seconds")
        with writing(self._connection, self.path):
            cursor = self._connection.execute(
                "INSERT INTO face (person, source, embedding, quality, size_px, added) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (name, source, template, quality, size_px, added),
            )
        return cursor.rowcount == 1

    def remove(self, person: str) -> int:
        """Delete a person, overwriting the templates with zeros in the gallery and in its journal.

        Returns:
            How many photographs were enrolled.

        Raises:
            GalleryError: Nobody of that name is enrolled.
        """
        with writing(self._connection, self.path):
            cursor = self._connection.execute("DELETE FROM face WHERE person = ?", (person_name(person),))
        if cursor.rowcount == 0:
            raise GalleryError(f"{self.path}: nobody called {person!r} is enrolled; see: gallery list {self.path}")
        return cursor.rowcount

    def enrolments(self) -> list[Enrolment]:
        """Return every enrolled photograph, by person and time."""
        with in_one_line(self.path):
            rows = self._connection.execute(
                "SELECT person, source, quality, size_px, added FROM face ORDER BY person, id"
            ).fetchall()
        return [Enrolment(*row) for row in rows]

    def templates(self) -> tuple[list[str], NDArray[np.float32]]:
        """Return the P people and their unit templates (P, 512): means of their photographs, normalised again.

        Raises:
            GalleryError: A template is damaged; nothing is compared with it.
            PassphraseError: It was opened without the passphrase that it needs.
        """
        cipher = self._unlocked()
        with in_one_line(self.path):
            rows = self._connection.execute("SELECT person, embedding FROM face ORDER BY person").fetchall()
        people = sorted({person for person, _ in rows})
        number = {person: index for index, person in enumerate(people)}
        sums = np.zeros((len(people), EMBEDDING_SIZE), np.float32)
        for person, stored in rows:
            sums[number[person]] += self._embedding(person, cipher.unseal(stored, person) if cipher else stored)
        return people, sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-12)

    def _embedding(self, person: str, template: bytes) -> NDArray[np.float32]:
        body, checksum = template[:-_CHECKSUM_BYTES], template[-_CHECKSUM_BYTES:]
        if len(body) == 4 * EMBEDDING_SIZE and _checksum(body) == checksum:
            return np.frombuffer(body, "<f4")
        raise GalleryError(f"{self.path}: the template of {person!r} is damaged; remove and enrol this person again")

    def _prepare(self, model: str | None) -> None:
        with in_one_line(self.path):
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise GalleryError(f"{self.path}: damaged ({found}); restore a copy")
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.execute("PRAGMA synchronous=FULL")
        if model is not None and model != self.model:
            raise GalleryError(
                f"{self.path}: made with model {self.model[:12]}, asked with {model[:12]}; "
                "give that model, or enrol the photographs into a new gallery"
            )

    def _unlock(self, model: str | None, passphrase: str | None) -> None:
        salt = self._optional("salt")
        if salt is None:
            if passphrase is not None:
                raise PassphraseError(f"{self.path}: is not encrypted; leave the passphrase out")
            return
        self._is_encrypted = True
        if passphrase is None:
            if model is not None:
                self._unlocked()
            return
        self._cipher = TemplateCipher(passphrase, salt)
        if not self._cipher.recognises(self._setting("proof")):
            raise PassphraseError(f"{self.path}: wrong passphrase; nothing was read")

    def _unlocked(self) -> TemplateCipher | None:
        """Return what opens the templates, None where they are not encrypted."""
        if self._is_encrypted and self._cipher is None:
            raise PassphraseError(f"{self.path}: is encrypted; give --passphrase-file")
        return self._cipher

    def _setting(self, key: str) -> bytes:
        value = self._optional(key)
        if value is None:
            raise GalleryError(f"{self.path}: damaged, its {key} is missing; restore a copy")
        return value

    def _optional(self, key: str) -> bytes | None:
        with in_one_line(self.path):
            row = self._connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])


def person_name(text: str) -> str:
    """Return a name in Unicode's composed form, without spaces around it.

    Raises:
        GalleryError: It is empty, too long or holds control characters.
    """
    name = composed(text).strip()
    if not 0 < len(name) <= _LONGEST_NAME or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise GalleryError(f"{text[:40]!r}: not a usable name; give 1 to {_LONGEST_NAME} characters on one line")
    return name


def _template_bytes(embedding: NDArray[np.float32]) -> bytes:
    values = np.asarray(embedding, "<f4")
    if values.shape != (EMBEDDING_SIZE,) or not abs(float(values @ values) - 1) < 1e-3:
        raise GalleryError(f"an embedding of shape {values.shape} is not a unit vector of {EMBEDDING_SIZE}")
    body = values.tobytes()
    return body + _checksum(body)


def _checksum(template: bytes) -> bytes:
    return zlib.crc32(template).to_bytes(_CHECKSUM_BYTES)
