"""Photographs as users have them: found, named, attributed to people, read and aligned."""

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.photographs.align import FACE_PX, AlignError, align
from dataset.photographs.detect import FaceDetector
from dataset.photographs.image_files import ImageError, decode_image
from dataset.photographs.layout import INDEX, UNLABELLED, LayoutError, identify, one_name, read_index
from dataset.photographs.photograph_folders import Photographs, find_photographs, look_through
from engine.errors import UserError
from engine.files import sha256_of
from engine.text import composed, folded, read_table

FindLandmarks = Callable[[str, NDArray[np.uint8]], list[NDArray[np.float64]]]
"""From a photograph's path below its folder and its (H, W, 3) RGB pixels to the five landmarks (5, 2) of each face in
it, the most important first; a list or a detector."""

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_COLUMNS = [f"{point}_{axis}" for point in POINTS for axis in "xy"]


class IntakeError(UserError):
    """Photographs that cannot be told apart, or a list of landmarks that is none."""


@dataclass(frozen=True)
class Photo:
    """A photograph before it is read."""

    source: str
    """Path below the photographs' folder, with forward slashes."""
    person: str
    image: str
    """Path that its face will have below `hr_images`."""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """Photographs and whose they are.

    Attributes:
        found: The photographs, the folder that their sources are relative to, and what else is there.
        photos: One each.
        rule: What named the people, in words.
        index: The table that named them, if one did.
    """

    found: Photographs
    photos: list[Photo]
    rule: str
    index: Path | None = None


def gather(photos: Path, pattern: str | None, leave_out: Collection[Path] = ()) -> Gathered:
    """Find photographs and say whose they are.

    Args:
        photos: An index CSV, or a folder (of folders of people, of files, or with an index.csv).
        pattern: Regular expression that finds the person in a file's stem; or `UNLABELLED`, for which a folder needs no
            index and an index no people.
        leave_out: Folders and files below that folder which hold no photographs.

    Raises:
        LayoutError: Nothing there, or an image without a person.
        FolderError: No photograph in it.
        IntakeError: People whose folders would have one name.
    """
    index = _index_of(photos)
    labelled = pattern != UNLABELLED
    if index is None or (not labelled and photos.is_dir()):
        found = find_photographs(photos, leave_out)
        faces, rule = identify(photos, found.names, pattern)
        return Gathered(found, with_names([(face.image, face.person, {}) for face in faces]), rule)
    if labelled and pattern is not None:
        raise LayoutError(f"--identity-pattern: {index} says whose the faces are; leave out one of them")
    rows = read_index(index, index.parent, labelled)
    extra = [{key: row[key] for key in row if key not in ("image", "person", "source")} for row in rows]
    named = [(row["image"], row["person"], each) for row, each in zip(rows, extra, strict=True)]
    found = Photographs(index.parent, [row["image"] for row in rows])
    return Gathered(found, with_names(named), f"index {index}", index)


def fingerprint(photos: Path, leave_out: Collection[Path] = ()) -> str:
    """Return a hash that changes with what a data set is made of.

    That is a file's content, or the files of a folder by name, size and time, behind links as well; of an index also
    those that it names.

    Args:
        photos: What `gather` takes, or a file or folder of any other format.
        leave_out: As for `gather`.

    Raises:
        LayoutError: No such folder, or a damaged index.
    """
    index = _index_of(photos)
    digest = hashlib.sha256()
    names: list[str] = []
    if photos.is_dir():
        found = look_through(photos, leave_out)
        names = [*found.names, *found.others]
    else:
        digest.update(sha256_of(photos).encode())
    root = photos if index is None else index.parent
    named = [] if index is None else [row["image"] for row in read_index(index, root)]
    for name in sorted({*names, *named}):
        try:
            status = (root / name).stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "not there"
        digest.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _index_of(photos: Path) -> Path | None:
    """Return the index that names the photographs, which is given itself or stands in their folder.

    Raises:
        LayoutError: No such folder or index.
    """
    is_table = photos.suffix.lower() == ".csv" and not photos.is_dir()
    if not photos.exists():
        raise LayoutError(f"{photos}: no such {'index' if is_table else 'folder'}; check the path")
    index = photos if is_table else photos / INDEX
    return index if index.is_file() else None


def digests(photos: list[Photo], read: Callable[[Photo], bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """Return source to SHA-256 of each image's bytes, and source to the reason of those that cannot be read."""
    hashes, reasons = {}, {}
    for photo in photos:
        try:
            hashes[photo.source] = hashlib.sha256(read(photo)).hexdigest()
        except ImageError as error:
            reasons[photo.source] = str(error)
    return hashes, reasons


def aligned_face(data: bytes, name: str, photo: Photo, find_landmarks: FindLandmarks) -> NDArray[np.uint8]:
    """Decode a photograph as an aligned face, (112, 112, 3) uint8 RGB.

    Args:
        data: The encoded image.
        name: What messages call it.
        photo: The photograph.
        find_landmarks: Finds the landmarks of its face.

    Raises:
        ImageError: It cannot be decoded.
        AlignError: It is not 112x112 and has no landmarks, or wrong ones; OutsideError: they lie outside it.
    """
    image = decode_image(data, name)
    landmarks = find_landmarks(photo.source, image)
    if landmarks:
        try:
            return align(image, landmarks[0])
        except AlignError as error:
            raise type(error)(f"{name}: {error}") from None
    height, width = image.shape[:2]
    if (height, width) != (FACE_PX, FACE_PX):
        raise AlignError(f"{name}: {width}x{height} and no face found; give aligned 112x112 faces, or --landmarks")
    return image


def read_landmarks(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read a CSV: `image` (or `file`), `left_eye_x`, `left_eye_y`, `right_eye_x` ... `mouth_right_y`.

    Returns:
        A photograph's path below its folder to its (5, 2) landmarks.

    Raises:
        IntakeError: The file is missing, a column is missing, or a value is not a number.
        TextError: It is no CSV.
    """
    if not path.is_file():
        raise IntakeError(f"{path}: no such list of landmarks; check the path")
    table: dict[str, NDArray[np.float64]] = {}
    for line, row in read_table(path, ("image", "file", *_COLUMNS)):
        table[row.get("image") or row.get("file") or ""] = _points(path, line, row)
    if not table:
        raise IntakeError(f"{path}: no landmarks in it; expected image,{','.join(_COLUMNS)}")
    return table


def names_of_nothing(path: Path, table: dict[str, NDArray[np.float64]], photos: list[Photo]) -> list[str]:
    """Return the names in a list of landmarks that are no photograph's.

    Raises:
        IntakeError: All of them are.
    """
    unknown = sorted(table.keys() - {photo.source for photo in photos})
    if len(unknown) == len(table):
        raise IntakeError(
            f"{path}: none of its {len(table)} names is a photograph, the first is {unknown[0]!r}; write paths below "
            f"the photographs' folder, such as {photos[0].source!r}"
        )
    return unknown


def listed_landmarks(table: dict[str, NDArray[np.float64]]) -> FindLandmarks:
    """Return landmarks as listed."""
    return lambda source, image: [table[source]] if source in table else []


def with_detector(listed: FindLandmarks) -> FindLandmarks:
    """Return landmarks as listed, else those that the detector finds; faces of 112x112 are left as they are.

    The detector is loaded when the first photograph needs it.
    """

    @cache
    def detector() -> FaceDetector:
        return FaceDetector()

    def find(source: str, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        known = listed(source, image)
        if known or image.shape[:2] == (FACE_PX, FACE_PX):
            return known
        return [face.landmarks for face in detector().detect(image)]

    return find


def _points(path: Path, line: int, row: dict[str, str]) -> NDArray[np.float64]:
    try:
        return np.array([float(row[column]) for column in _COLUMNS]).reshape(5, 2)
    except (KeyError, TypeError, ValueError) as error:
        raise IntakeError(f"{path}, line {line}: {error}; expected the columns image,{','.join(_COLUMNS)}") from None


def with_names(named: list[tuple[str, str, dict[str, str]]]) -> list[Photo]:
    """Choose file names that are valid and different on every system, however it treats case and composes letters.

    Args:
        named: Path, person and attributes of each image.

    Raises:
        IntakeError: People whose folders would have one name.
    """
    folders: dict[str, str] = {}
    taken: set[str] = set()
    photos = []
    for source, name_of_person, attributes in named:
        person = composed(name_of_person)
        folder = _portable(person)
        for name in (folded(folder), one_name(person)):
            other = folders.setdefault(name, person)
            if other != person:
                raise IntakeError(
                    f"{other!r} and {person!r}: two people whose folders are one on some systems, or whose names "
                    "differ in spaces alone; rename one of them"
                )
        stem = stem_once = _portable(_stem_below_person(source, person))
        number = 1
        while folded(f"{folder}/{stem}") in taken:
            number += 1
            stem = f"{stem_once}_{number}"
        taken.add(folded(f"{folder}/{stem}"))
        photos.append(Photo(source, person, f"{folder}/{stem}.png", attributes))
    return photos


def _stem_below_person(source: str, person: str) -> str:
    """Return the path without suffix, and without the person's folder; deeper folders become part of the name."""
    stem = composed(source.rpartition(".")[0] or source)
    return stem.removeprefix(f"{person}/").replace("/", "_")


def _portable(name: str) -> str:
    """Replace what Windows does not allow in a file name, and a leading dot, by an underscore."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)
    name = re.sub(r"^\.|[. ]$", "_", name)
    reserved = re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name)
    return f"_{name}" if reserved else name
