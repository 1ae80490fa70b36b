"""Parquet shards as hubs serve them: image bytes in a column, bare or as {bytes, path}, and a label column.

Names of the classes come from the schema, where the library `datasets` left them (the key `huggingface`).
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from dataset.formats.source import FormatError, Record, Source, checked_size, first_bytes
from dataset.photographs.image_files import ImageError
from dataset.photographs.layout import NOBODY

_LABELS = ("person", "identity", "label", "labels", "class", "person_id", "identity_id", "subject_id", "name", "id")
"""Names of the column that says whose an image is; the first that is there."""
_MAGIC = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    return first_bytes(path, 4) == _MAGIC


def open_parquet(path: Path, labelled: bool = True) -> Source:
    """Read the labels of a Parquet file; images are read a row group at a time.

    Args:
        path: The file.
        labelled: Whether it must say whose the images are; else what it says is not read.

    Raises:
        FormatError: The extra `parquet` is not installed, the file is damaged, or has no images or no labels.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise FormatError(f"{path}: a Parquet file; install the extra to read it: dsr-edgeface[parquet]") from None
    errors = (pyarrow.ArrowException, OSError, ValueError, KeyError)
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
        schema = file.schema_arrow
    except errors as error:
        raise FormatError(f"{path}: a damaged Parquet file ({_words(error)}); copy it again") from None
    image = _image_column(path, schema)
    label = next((name for name in _LABELS if name in schema.names and name != image), None) if labelled else None
    if label is None and labelled:
        raise FormatError(
            f"{path}: no column says whose an image is ({', '.join(schema.names)}); name one {', '.join(_LABELS[:3])}"
        )
    names = _class_names(schema, label) if label is not None else None
    reader = _Reader(path, file, image, errors)
    source = Source(path, "", f"column {label}", [], reader, files=[path])
    for group in range(file.num_row_groups):
        _take_group(source, reader, group, label, names)
    source.what = f"Parquet, {len(source.records)} images in column {image}"
    return source


def _take_group(source: Source, reader: "_Reader", group: int, label: str | None, names: list[str] | None) -> None:
    if label is None:
        rows = range(reader.rows(group))
        source.records += [Record(f"{group:05d}-{row:06d}", NOBODY, (group, row)) for row in rows]
        return
    for row, value in enumerate(reader.labels(group, label)):
        name = f"{group:05d}-{row:06d}"
        person, why = _person(value, names)
        if person:
            source.records.append(Record(name, person, (group, row)))
        else:
            source.listed(name, "", f"{source.path}, row group {group}, row {row}: {why}")


def _person(value: Any, names: list[str] | None) -> tuple[str, str]:
    if isinstance(value, ImageError):
        return "", str(value)
    if names is not None and isinstance(value, int):
        if not 0 <= value < len(names):
            return "", f"label {value} is beyond the {len(names)} classes of the schema"
        return names[value], ""
    if isinstance(value, str) and value.strip():
        return value.strip(), ""
    if isinstance(value, int) and value >= 0:
        return str(value), ""
    return "", f"label {value!r} is no person"


def _image_column(path: Path, schema: Any) -> str:
    from pyarrow import types

    binary = (types.is_binary, types.is_large_binary)
    for field in schema:
        kind = field.type
        if types.is_struct(kind):
            inner = [kind.field(index) for index in range(kind.num_fields)]
            if any(each.name == "bytes" and any(fits(each.type) for fits in binary) for each in inner):
                return str(field.name)
        elif any(fits(kind) for fits in binary):
            return str(field.name)
    raise FormatError(f"{path}: a Parquet file without images; expected a column of bytes, or of {{bytes, path}}")


def _class_names(schema: Any, label: str) -> list[str] | None:
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])
        names = said["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) and name for name in names) else None


class _Reader:
    """Reads rows, and keeps the last row group."""

    def __init__(self, path: Path, file: Any, image: str, errors: tuple[type[Exception], ...]) -> None:
        self._path, self._file, self._image, self._errors = path, file, image, errors
        self._group = lru_cache(maxsize=1)(self._read_group)

    def rows(self, group: int) -> int:
        """Return how many rows a row group has."""
        return max(0, int(self._file.metadata.row_group(group).num_rows))

    def labels(self, group: int, label: str) -> Iterator[Any]:
        """Yield the labels of a row group; where it cannot be read, an `ImageError` for each row."""
        try:
            yield from self._file.read_row_group(group, columns=[label]).column(0).to_pylist()
        except self._errors as error:
            lost = ImageError(f"row group {group}: cannot be read ({_words(error)})")
            yield from [lost] * min(self.rows(group), 10**6)

    def __call__(self, record: Record) -> bytes:
        group, row = record.place
        found = self._group(group)
        if isinstance(found, str):
            raise ImageError(f"{self._path}, row group {group}, row {row}: cannot be read ({found}); copy it again")
        value = found[row].as_py() if row < len(found) else None
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise ImageError(f"{self._path}, row group {group}, row {row}: no image in it")
        checked_size(record.name, len(data))
        return data

    def _read_group(self, group: int) -> Any:
        try:
            return self._file.read_row_group(group, columns=[self._image]).column(0)
        except self._errors as error:
            return _words(error)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
