"""Text of other people and other systems: files that they wrote, names that they gave, terminals to read it on."""

import codecs
import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.errors import UserError

_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""What editors and spreadsheets write before a text to say how it is encoded."""

_HEAD_BYTES = 2000
_SAVE = 'save the file as UTF-8 (spreadsheets call it "CSV UTF-8")'


class TextError(UserError, ValueError):
    """A file that holds no text, or no table."""


def decode_text(data: bytes, name: Path | str) -> str:
    """Return text that was written anywhere: UTF-8, or UTF-16 with its mark; each end of a line as one line feed.

    Args:
        data: The bytes of a file.
        name: What messages call it.

    Raises:
        TextError: They are of another encoding; it names the line.
    """
    encoding, body = _encoding(data)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = _with_line_feeds(body[: error.start].decode(encoding, "ignore"))
        wrong = f"byte 0x{body[error.start]:02x} after {before.rpartition(chr(10))[2][-20:]!r}"
        raise _no_text(name, before, f"not {encoding[:6].upper()} text ({wrong})") from None
    text = _with_line_feeds(text)
    if "\0" in text:
        raise _no_text(name, text.partition("\0")[0], "not text (bytes of zero, as in UTF-16 without its mark)")
    return text


def read_text(path: Path) -> str:
    """Return the text of a file that a person or another program wrote, as `decode_text` does.

    Raises:
        TextError: It is no text.
        OSError: It is missing or cannot be read.
    """
    return decode_text(path.read_bytes(), path)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file without their ends; blank ones after the last are left out. Raises as above."""
    lines = read_text(path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def first_lines(path: Path) -> list[str]:
    """Return the lines within the first 2000 bytes of a file, whole ones where there are several; no error is raised.

    They tell what a file is; what is no text in it shows when it is read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_HEAD_BYTES + 1)
    except OSError:
        return []
    encoding, body = _encoding(data[:_HEAD_BYTES])
    lines = _with_line_feeds(body.decode(encoding, "replace")).split("\n")
    return lines if len(data) <= _HEAD_BYTES or len(lines) < 2 else lines[:-1]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: It is no JSON; TextError: it is no text.
        OSError: It is missing or cannot be read.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_table(path: Path, columns: Iterable[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV with a header; rows without a value and columns without a name are left out.

    Args:
        path: The file.
        columns: Names by which columns are known however the header treats case; others stay as they are written.

    Returns:
        The number of the line on which each row ends, and its values by column.

    Raises:
        TextError: It is no text or no CSV, or a row has another number of values than the header.
        OSError: It is missing or cannot be read.
    """
    known = {name.casefold(): name for name in columns}
    rows = csv.reader(io.StringIO(read_text(path), newline="\n"), strict=True)
    table = []
    header: list[str] = []
    try:
        for values in rows:
            if not any(value.strip() for value in values):
                continue
            if not header:
                header = [known.get(name.strip().casefold(), name.strip()) for name in values]
                continue
            if any(value.strip() for value in values[len(header) :]) or len(values) < len(header):
                raise csv.Error(f"{len(values)} values below {len(header)} columns")
            named = zip(header, values[: len(header)], strict=True)
            table.append((rows.line_num, {name: value for name, value in named if name}))
    except csv.Error as error:
        raise TextError(f"{path}, line {rows.line_num}: not CSV ({error}); mend the line") from None
    return table


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): names are equal where their composed forms are.

    Systems write the same letters in two ways: "é" as one character or, as macOS does, as "e" and an accent.
    """
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return what names share that differ in case, or in how their letters are composed, alone."""
    return composed(unicodedata.normalize("NFD", name).casefold())


def printable(text: str) -> str:
    """Return text as one line: what ends a line, commands a terminal or is no letter at all is written as an escape."""
    whole = text.encode("utf-8", "backslashreplace").decode()  # Python holds bytes that are no text as lone surrogates
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], whole)


def _encoding(data: bytes) -> tuple[str, bytes]:
    """Return how text is encoded, and its bytes without the mark that says so."""
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    return _MARKS.get(mark, "utf-8"), data[len(mark) :]


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _no_text(name: Path | str, before: str, what: str) -> TextError:
    return TextError(f"{name}, line {before.count(chr(10)) + 1}: {what}; {_SAVE}")
