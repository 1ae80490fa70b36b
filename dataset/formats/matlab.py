"""MATLAB's MAT-files of version 5, as far as lists of names and numbers go: TinyFace and SurvFace come with such.

    header    116 bytes of text, 8 of subsystem, uint16 version 0x0100, "IM" where little-endian
    element   uint32 type, uint32 bytes, the data, zeros to a multiple of 8; or, of up to 4 bytes, uint16 type, uint16
              bytes, the data in the other 4
    15        zlib: another element; 14: an array of flags (class), dimensions, name, and its contents

(MathWorks, "MAT-File Format".) Numbers become arrays, text becomes str, cells become arrays of objects; what has no
place in a list, such as structures and functions, is refused. Version 7.3, which is HDF5, is as well.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset.formats.source import MOST_BYTES, FormatError

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR, _FIRST_NUMBER, _LAST_NUMBER = 1, 4, 6, 15
_COMPLEX = 0x0800
_HEADER, _DEEPEST = 128, 4


class _DamagedError(Exception):
    """What does not follow the description."""


def read_matlab(path: Path) -> dict[str, Any]:
    """Return the variables of a file: arrays of numbers, str, or arrays of objects.

    Raises:
        FormatError: No such file, no MAT-file of version 5, damaged, or with other variables than these.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    if data[:8] == b"\x89HDF\r\n\x1a\n" or b"MATLAB 7.3" in data[:_HEADER]:
        raise FormatError(f"{path}: a MAT-file of version 7.3; save it with save(..., '-v7')")
    if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise FormatError(f"{path}: no MAT-file of version 5")
    reader = _Reader("<" if data[126:128] == b"IM" else ">")
    try:
        return dict(reader.variables(memoryview(data)[_HEADER:]))
    except (_DamagedError, struct.error, zlib.error, ValueError, UnicodeDecodeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise FormatError(f"{path}: a damaged MAT-file, or one of more than lists ({reason}); copy it again") from None


def text_table(path: Path, variables: dict[str, Any], name: str) -> list[list[str]]:
    """Return the rows of a variable that is a cell array of texts.

    Raises:
        FormatError: It is not there, or holds something else.
    """
    value = _variable(path, variables, name)
    if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 2:
        rows = value.tolist()
        if all(isinstance(each, str) for row in rows for each in row):
            return [[each.strip() for each in row] for row in rows]
    raise FormatError(f"{path}: {name} is no cell array of names")


def number_list(path: Path, variables: dict[str, Any], name: str) -> NDArray[np.int64]:
    """Return a variable that is a list of whole numbers.

    Raises:
        FormatError: It is not there, or holds something else.
    """
    value = _variable(path, variables, name)
    if isinstance(value, np.ndarray) and value.dtype != object and np.array_equal(value, np.trunc(value)):
        return value.reshape(-1).astype(np.int64)
    raise FormatError(f"{path}: {name} is no list of whole numbers")


def _variable(path: Path, variables: dict[str, Any], name: str) -> Any:
    if name not in variables:
        raise FormatError(f"{path}: no variable {name} in it, but {', '.join(variables) or 'none'}")
    return variables[name]


class _Reader:
    """Reads elements of one byte order."""

    def __init__(self, order: str) -> None:
        self._order = order

    def variables(self, data: memoryview) -> list[tuple[str, Any]]:
        found = []
        while len(data):
            kind, content, data = self._element(data)
            if kind == _COMPRESSED:
                kind, content, _ = self._element(memoryview(_inflated(content)))
            if kind != _MATRIX:
                raise _DamagedError(f"an element of type {kind} where a variable is expected")
            found.append(self._matrix(content, 0))
        return found

    def _element(self, data: memoryview) -> tuple[int, memoryview, memoryview]:
        """Return type and content of the first element, and what follows it."""
        kind, size = struct.unpack_from(f"{self._order}II", data)
        if kind >> 16:
            return kind & 0xFFFF, data[4 : 4 + min(kind >> 16, 4)], data[8:]
        if size > len(data) - 8:
            raise _DamagedError("cut off")
        padded = size if kind == _COMPRESSED else (size + 7) // 8 * 8
        return kind, data[8 : 8 + size], data[8 + padded :]

    def _matrix(self, data: memoryview, depth: int) -> tuple[str, Any]:
        if len(data) == 0:  # an empty cell
            return "", ""
        _, flags, data = self._element(data)
        _, sides, data = self._element(data)
        _, name, data = self._element(data)
        (said,) = struct.unpack_from(f"{self._order}I", flags)
        shape = tuple(int(side) for side in np.frombuffer(sides, f"{self._order}i4"))
        if min(shape, default=-1) < 0 or depth > _DEEPEST:
            raise _DamagedError(f"dimensions {shape}, cells in cells {depth} deep")
        return bytes(name).decode("ascii"), self._contents(said, shape, data, depth)

    def _contents(self, said: int, shape: tuple[int, ...], data: memoryview, depth: int) -> Any:
        kind = said & 0xFF
        if kind == _CELL:
            return self._cells(shape, data, depth)
        if kind == _CHAR:
            return self._text(data)
        if _FIRST_NUMBER <= kind <= _LAST_NUMBER and not said & _COMPLEX:
            stored, content, _ = self._element(data)
            if stored in _NUMBERS:
                return np.frombuffer(content, self._order + _NUMBERS[stored]).reshape(shape, order="F")
        raise _DamagedError(f"a variable of class {kind}")

    def _cells(self, shape: tuple[int, ...], data: memoryview, depth: int) -> Any:
        values = []
        while len(data):
            _, content, data = self._element(data)
            values.append(self._matrix(content, depth + 1)[1])
        cells = np.empty(len(values), object)
        cells[:] = values
        return cells.reshape(shape, order="F")

    def _text(self, data: memoryview) -> str:
        kind, content, _ = self._element(data)
        if kind in _TEXTS:
            suffix = {"<": "-le", ">": "-be"}[self._order] if kind != 16 else ""
            return bytes(content).decode(_TEXTS[kind] + suffix)
        if kind not in _NUMBERS:
            raise _DamagedError(f"text of type {kind}")
        return "".join(map(chr, np.frombuffer(content, self._order + _NUMBERS[kind]).tolist()))


def _inflated(data: memoryview) -> bytes:
    """Return uncompressed bytes, but not more than any list has."""
    machine = zlib.decompressobj()
    found = machine.decompress(data, MOST_BYTES)
    if machine.unconsumed_tail:
        raise _DamagedError("larger than any list")
    return found
