"""Scores of all comparisons as other tools read them.

    bob4     claimed_id real_id test_label score                 bob.measure's and bob.bio's four columns
    bob5     claimed_id model_label real_id test_label score     their five columns; the model is the enrolled face
    pyeer    two files, _genuine.txt and _impostor.txt           a score a line, which pyeer's geteerinf reads

Columns are parted by blanks, so that blanks, `%` and a leading `#` of a name are written as %20 and so on; a comparison
is genuine where both identities are the same. Nine digits give back every float32.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.files import atomic_path
from metrics.verification import Array
from pipeline.evaluation.cells import Cell, Embeddings
from pipeline.evaluation.course import Sides, sides_of
from pipeline.evaluation.faces import NATIVE_PX, Split
from pipeline.evaluation.systems import System

SCORES = "scores"
"""Name of the folder in that of a report."""
BLOCK = 1 << 16
FORMATS = {"bob4": ("bob4.txt",), "bob5": ("bob5.txt",), "pyeer": ("genuine.txt", "impostor.txt")}
"""Name to how its files end."""


@dataclass(frozen=True)
class Compared:
    """Comparisons, one each a row.

    Attributes:
        claimed: Whose the enrolled face is.
        model: Name of that face.
        real: Whose the probe is.
        probe: Its name.
        scores: (N,).
    """

    claimed: list[str]
    model: list[str]
    real: list[str]
    probe: list[str]
    scores: Array


def parse_formats(text: str | None) -> tuple[str, ...]:
    """Read `--export-scores`: names of formats joined by commas; None: none.

    Raises:
        UserError: Another name, or none.
    """
    if text is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or not set(names) <= set(FORMATS):
        raise UserError(f"--export-scores {text}: give {', '.join(FORMATS)}, or several of them joined by commas")
    return names


def export_scores(
    folder: Path,
    formats: tuple[str, ...],
    split: Split,
    embeddings: dict[Cell, Embeddings],
    cells: list[tuple[System, int]],
) -> None:
    """Write all comparisons of each cell of an evaluation, such as dsr_16px_bob4.txt.

    Args:
        folder: Receives the files.
        formats: Names of `FORMATS`; none: nothing is written.
        split: The faces.
        embeddings: Of each cell.
        cells: Systems and input sizes in pixels.
    """
    for system, size in cells if formats else []:
        stem = folder / f"{system.key}_{'native' if size == NATIVE_PX else f'{size}px'}"
        write_scores(stem, formats, all_comparisons(split, sides_of(split, embeddings, system, size)))


def write_scores(stem: Path, formats: tuple[str, ...], blocks: Iterable[Compared]) -> list[Path]:
    """Write comparisons, each file whole or not at all.

    Args:
        stem: Folder and beginning of the files' names.
        formats: Names of `FORMATS`.
        blocks: The comparisons, part by part.

    Returns:
        The files.
    """
    paths = [stem.with_name(f"{stem.name}_{ending}") for name in formats for ending in FORMATS[name]]
    with ExitStack() as stack:
        temporary = [stack.enter_context(atomic_path(path)) for path in paths]
        with ExitStack() as opened:
            files = iter([opened.enter_context(each.open("w", encoding="utf-8", newline="\n")) for each in temporary])
            of = {name: [next(files) for _ in FORMATS[name]] for name in formats}
            for block in blocks:
                _write(of, block)
    return paths


def all_comparisons(split: Split, sides: Sides) -> Iterator[Compared]:
    """Yield the comparisons of every probe of a split with every enrolled face, the genuine ones first."""
    rows, scores = sides.all_pairs()
    person = [split.people[each] for each in split.person.tolist()]
    for start in range(0, len(scores.genuine), BLOCK):
        part = slice(start, start + BLOCK)
        yield _named(split.keys, person, rows[scores.genuine_rows[part]], scores.genuine[part])
    for start in range(0, len(scores.impostor), BLOCK):
        part = slice(start, start + BLOCK)
        positions = np.arange(len(scores.impostor))[part]
        yield _named(split.keys, person, rows[scores.impostor_rows(positions)], scores.impostor[part])


def _named(names: list[str], person: list[str], pairs: NDArray[np.int64], scores: Array) -> Compared:
    """Name (N, 2) rows of probes and enrolled faces."""
    probe, model = pairs.T
    return Compared(chosen(person, model), chosen(names, model), chosen(person, probe), chosen(names, probe), scores)


def _write(files: Mapping[str, Sequence[TextIO]], block: Compared) -> None:
    scores = [f"{score:.9g}" for score in block.scores.tolist()]
    claimed, model, real, probe = (
        list(map(escaped, names)) for names in (block.claimed, block.model, block.real, block.probe)
    )
    columns = {"bob4": (claimed, real, probe, scores), "bob5": (claimed, model, real, probe, scores)}
    for name, (file, *more) in files.items():
        if name in columns:
            file.writelines(" ".join(row) + "\n" for row in zip(*columns[name], strict=True))
        else:
            for one, other, score in zip(block.claimed, block.real, scores, strict=True):
                (file if one == other else more[0]).write(score + "\n")


def escaped(name: str) -> str:
    """Return a name that is one column, and no comment; names that differ stay different."""
    kept = "".join(each if each != "%" and not each.isspace() else _percent(each) for each in name)
    return _percent(kept[0]) + kept[1:] if kept.startswith("#") else kept or "%"


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def chosen(names: list[str], rows: NDArray[np.integer]) -> list[str]:
    """Return the names of these rows."""
    return [names[row] for row in rows.tolist()]
