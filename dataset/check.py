"""Count, compare and look at a prepared data set."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from dataset.photographs.image_files import ImageError, read_image, write_png
from dataset.photographs.layout import HR_FOLDER, SHEET, SPLITS, Face, hr_faces, one_name, split_folder, vlr_images
from dataset.store import FaceStore
from dataset.store_files import AGAIN, SIZE_PX, StoreError
from engine.cli import command
from engine.errors import UserError
from engine.files import user_cache, writable_folder
from engine.runlog import progress_bar
from engine.text import composed

T = TypeVar("T")

_ROWS, _COLUMNS = 3, 10


class CheckError(UserError):
    """A folder without a prepared data set, or one whose parts do not fit each other."""


@dataclass(frozen=True)
class CheckConfig:
    """Check a prepared data set: counts, sizes, people in two splits, damaged images, store against images.

    Writes a contact sheet: one face of some people, three rows a split. Ends with 1 if anything is wrong.
    """

    dataset: Annotated[Path, typer.Argument(help="Folder with train_processed, val_processed, test_processed.")] = Path(
        "dataset"
    )
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet PNG; the data set's contact_sheet.png if unset.")
    ] = None
    json: Annotated[bool, typer.Option(help="Print the result as JSON.")] = False
    quick: Annotated[bool, typer.Option(help="Do not read every image, and do not checksum the store.")] = False


def check(config: CheckConfig) -> int:
    """Check what `config` names; return the exit code, 1 if something is wrong."""
    present = [split for split in SPLITS if split_folder(config.dataset, split).is_dir()]
    if not present:
        raise CheckError(f"{config.dataset}: no {', '.join(f'{each}_processed' for each in SPLITS)}; prepare it first")
    findings: list[str] = []
    counts: dict[str, dict[str, Any]] = {}
    people: dict[str, set[str]] = {}
    tiles = []
    for split in present:
        folder = split_folder(config.dataset, split)
        store = _noting(findings, partial(FaceStore.open, folder))
        faces = _listed(folder, store, findings)
        people[split] = {face.person for face in faces}
        counts[split] = _check_split(folder, store, faces, findings, config)
        tiles.append(_sample(folder, store, faces))
    findings += _leaks(people)
    sheet = config.sheet or writable_folder(config.dataset, "the contact sheet", user_cache()) / SHEET
    result = {"splits": counts, "problems": findings, "contact_sheet": str(sheet)}
    print(json.dumps(result, indent=2, ensure_ascii=False) if config.json else _as_text(result))
    write_png(sheet, np.concatenate(tiles))
    return int(bool(findings))


def _listed(folder: Path, store: FaceStore | None, findings: list[str]) -> list[Face]:
    if store is not None and store.kind != "raw":  # there are no pictures of these
        return [Face(image, store.people[number]) for image, number in zip(store.images, store.person, strict=True)]
    try:
        return hr_faces(folder)[0]
    except UserError as error:
        findings.append(str(error))
        return []


def _check_split(
    folder: Path, store: FaceStore | None, faces: list[Face], findings: list[str], config: CheckConfig
) -> dict[str, Any]:
    low = _noting(findings, lambda: vlr_images(folder, faces)) or {}
    for size, found in low.items():
        if size is not None and len(found) < len(faces):
            findings.append(f"{folder}: {len(found)} images of {size} px for {len(faces)} faces; {AGAIN}")
    if store is not None and not config.quick:
        _noting(findings, store.verify)
    if store is not None and not _noting(findings, partial(_lists_the_same, folder, store, faces)):
        store = None
    if not config.quick and (store is None or store.kind == "raw"):
        _check_images(folder, faces, store, findings, quiet=config.json)
        for size, found in low.items():
            for path in found.values():
                _noting(findings, partial(_check_small, path, size))
    images = Counter(face.person for face in faces) if store is None or store.labelled else Counter()
    return {
        "people": len(images),
        "images": len(faces),
        "people_with_one_image": list(images.values()).count(1),
        "most_images_of_one_person": max(images.values(), default=0),
        "vlr_images": {str(size or "any"): len(found) for size, found in sorted(low.items(), key=lambda x: x[0] or 0)},
        "packed": store is not None,
    }


def _lists_the_same(folder: Path, store: FaceStore, faces: list[Face]) -> bool:
    """Tell that a store holds these faces.

    Raises:
        CheckError: It holds others.
        StoreError: A name in it is damaged.
    """
    if list(map(composed, store.images)) != [composed(face.image) for face in faces]:
        raise CheckError(f"{folder}: the store and the index list different images; {AGAIN}")
    for face, number in zip(faces, store.person, strict=True):
        if composed(store.people[number]) != face.person:
            raise CheckError(
                f"{folder}: {face.image} shows {face.person!r} by the index and {store.people[number]!r} by the store, "
                f"which trainings and evaluations go by; {AGAIN}"
            )
    return True


def _check_images(folder: Path, faces: list[Face], store: FaceStore | None, findings: list[str], quiet: bool) -> None:
    """Read each HR image; it must be 112x112 and equal to its row of the store."""
    with progress_bar(len(faces), 0, "image", folder.name, enabled=not quiet) as bar:
        for row, face in enumerate(faces):
            bar.update()
            path = folder / HR_FOLDER / face.image
            try:
                pixels = read_image(path)
            except ImageError as error:
                findings.append(str(error))
                continue
            if pixels.shape != (SIZE_PX, SIZE_PX, 3):
                findings.append(f"{path}: {pixels.shape[1]}x{pixels.shape[0]}, expected 112x112; {AGAIN}")
            elif store is not None and not np.array_equal(pixels, store.faces[row]):
                findings.append(f"{path}: differs from its row in the store; {AGAIN}")


def _check_small(path: Path, size_px: int | None) -> None:
    """Read a low-resolution image.

    Raises:
        ImageError: It is no image.
        CheckError: It has not the size of its folder.
    """
    height, width = read_image(path).shape[:2]
    if size_px is not None and (height, width) != (size_px, size_px):
        raise CheckError(f"{path}: {width}x{height}, expected {size_px}x{size_px}; {AGAIN}")


def _leaks(people: dict[str, set[str]]) -> list[str]:
    """Name people who are in two splits; names that differ in case or spaces alone count as one."""
    alike = {split: {one_name(name): name for name in names} for split, names in people.items()}
    found = []
    for first, second in combinations(alike, 2):
        both = sorted(alike[first].keys() & alike[second].keys())
        if both:
            names = ", ".join(alike[first][key] for key in both[:3])
            found.append(f"{len(both)} people are in {first} and in {second}: {names}; prepare the data set again")
    return found


def _sample(folder: Path, store: FaceStore | None, faces: list[Face]) -> NDArray[np.uint8]:
    """Return the first faces of people spread over the split, as a (3 * 112, 10 * 112, 3) picture."""
    first: dict[str, tuple[int, Face]] = {}
    for row, face in enumerate(faces):
        first.setdefault(face.person, (row, face))
    chosen = list(first.values())
    chosen = (
        [chosen[number] for number in np.linspace(0, len(chosen) - 1, _ROWS * _COLUMNS).astype(int)] if chosen else []
    )
    tiles = np.full((_ROWS * _COLUMNS, SIZE_PX, SIZE_PX, 3), 255, np.uint8)
    shown = dict.fromkeys(chosen)
    for number, (row, face) in enumerate(shown):
        tile = tiles[number]
        try:
            pixels = _pixels(folder, store, row, face)
        except (ImageError, StoreError):
            continue  # named among the problems
        tile[: pixels.shape[0], : pixels.shape[1]] = pixels[:SIZE_PX, :SIZE_PX]
    rows = tiles.reshape(_ROWS, _COLUMNS, SIZE_PX, SIZE_PX, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(_ROWS * SIZE_PX, _COLUMNS * SIZE_PX, 3)


def _pixels(folder: Path, store: FaceStore | None, row: int, face: Face) -> NDArray[np.uint8]:
    if store is None or store.kind == "raw":
        return read_image(folder / HR_FOLDER / face.image)
    return store.faces[row]


def _noting(findings: list[str], look: Callable[[], T]) -> T | None:
    """Return what `look` returns; if it refuses, note why."""
    try:
        return look()
    except UserError as error:
        findings.append(str(error))
        return None


def _as_text(result: dict[str, Any]) -> str:
    lines = []
    for split, count in result["splits"].items():
        sizes = ", ".join(f"{size} px: {number}" for size, number in count["vlr_images"].items()) or "none"
        lines.append(
            f"{split}: {count['people']} people ({count['people_with_one_image']} with one image, at most "
            f"{count['most_images_of_one_person']}), {count['images']} images, low-resolution copies {sizes}"
        )
    problems = result["problems"]
    lines += [f"problem: {problem}" for problem in problems[:20]]
    if len(problems) > 20:
        lines.append(f"and {len(problems) - 20} more; --json lists all")
    lines.append(f"{len(problems)} problems; contact sheet: {result['contact_sheet']}")
    return "\n".join(lines)


main = command(CheckConfig, check, example="python -m dataset check dataset")

if __name__ == "__main__":
    main()
