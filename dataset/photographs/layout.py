"""Which folders of a prepared data set hold HR and VLR faces, and whose face each is.

    {train,val,test}_processed/
        hr_images/<person>/<stem>.png           112x112 RGB
        vlr_images/<size>px/<person>/<stem>.png low-resolution copies, e.g. vlr_images/16px
        vlr_images/<person>/<stem>.png          or low-resolution photographs of any size
        index.csv                               image (below hr_images), person, source, further columns
        pairs.txt (or pairs.csv)                optional: LFW pairs of which both images are here

A person comes from the index, else from the first sub-folder, else from a pattern on the file's name.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from dataset.photographs.photograph_folders import find_photographs, paths_as_spelled
from engine.errors import UserError
from engine.text import composed, folded, read_table

SPLITS = ("train", "val", "test")
HR_FOLDER, VLR_FOLDER, INDEX, PAIRS = "hr_images", "vlr_images", "index.csv", "pairs.txt"
SHEET = "contact_sheet.png"
"""Beside the splits."""


class LayoutError(UserError):
    """A folder or an index that does not say which faces it holds."""


@dataclass(frozen=True)
class Face:
    """An image and whose face it shows."""

    image: str
    """Path below the images' folder, with forward slashes."""
    person: str

    @property
    def key(self) -> str:
        """The path without its suffix, composed: what an HR image and its VLR copies share."""
        return composed(self.image.rpartition(".")[0])


def one_name(person: str) -> str:
    """Return what all ways to write a person's name share: case, spaces and the form of accents do not count."""
    return " ".join(folded(person).split())


def split_folder(root: Path, split: str) -> Path:
    """Return the folder of a split ("train", "val" or "test")."""
    return root / f"{split}_processed"


def made_here(out: Path) -> list[Path]:
    """Return what stands in a data set's folder and is no photograph, where it lies among photographs."""
    splits = [split_folder(out, split) for split in SPLITS]
    return [*(folder for folder in splits if (folder / HR_FOLDER).is_dir()), out / SHEET]


def hr_faces(folder: Path, pattern: str | None = None) -> tuple[list[Face], str]:
    """List the HR faces of a split's folder, and the rule that said whose they are.

    Args:
        folder: A split's folder.
        pattern: Regular expression on the file's stem, used where there is neither index nor sub-folder.

    Raises:
        LayoutError: No images, a damaged index, or an image without a person.
    """
    images = folder / HR_FOLDER
    index = folder / INDEX
    if index.is_file():
        return [Face(row["image"], row["person"]) for row in read_index(index, images)], f"index {index}"
    return identify(images, list_images(images), pattern)


def vlr_images(folder: Path, faces: list[Face]) -> dict[int | None, dict[str, Path]]:
    """Find the low-resolution images of a split.

    Args:
        folder: A split's folder.
        faces: Its HR faces.

    Returns:
        Size in pixels (None for photographs of any size) to {`Face.key`: file}; empty without `vlr_images`.

    Raises:
        LayoutError: A low-resolution image without its HR face.
    """
    root = folder / VLR_FOLDER
    known = {face.key for face in faces}
    found: dict[int | None, dict[str, Path]] = {}
    for image in list_images(root) if root.is_dir() else []:
        first, _, rest = image.partition("/")
        size = re.fullmatch(r"(\d+)px", first)
        key = Face(rest if size else image, "").key
        if key not in known:
            raise LayoutError(f"{root / image}: no {HR_FOLDER}/{key} to compare with; add it or remove this file")
        found.setdefault(int(size[1]) if size else None, {})[key] = root / image
    return found


def list_images(folder: Path) -> list[str]:
    """Return the photographs of a folder in which nothing may be missing, as `find_photographs` does.

    Raises:
        LayoutError: The folder is missing, or a part of it cannot be looked into.
        FolderError: There is no photograph in it.
    """
    if not folder.is_dir():
        raise LayoutError(f"{folder}: no such folder; check the path")
    found = find_photographs(folder)
    for problem in found.problems.values():
        raise LayoutError(problem)
    return found.names


UNLABELLED = "\0unlabelled"
"""Stands for a pattern where nobody says whose the faces are: all are of `NOBODY`."""
NOBODY = "unlabelled"


def identify(folder: Path, images: list[str], pattern: str | None) -> tuple[list[Face], str]:
    """Say whose face each image shows: its first sub-folder, else a pattern on its stem.

    Args:
        folder: Where the images are, for the messages.
        images: Paths below it.
        pattern: Regular expression; its first group, or all that it matches at the start, is the person; or
            `UNLABELLED`.

    Returns:
        The faces, their people composed, and the rule used in words.

    Raises:
        LayoutError: An image in no sub-folder that the pattern does not match, or a pattern that is not one.
    """
    if pattern == UNLABELLED:
        return [Face(image, NOBODY) for image in images], "nobody says (--unlabelled)"
    nested = sum("/" in image for image in images)
    if nested == len(images) and pattern is not None:
        raise LayoutError(
            f"--identity-pattern: the images of {folder} lie in folders, by which people are told apart; "
            "leave the pattern out, or put the files side by side"
        )
    if nested == len(images):
        return [Face(image, composed(image.partition("/")[0])) for image in images], "name of the sub-folder"
    if nested:
        raise LayoutError(
            f"{folder}: {len(images) - nested} images lie beside folders of people (the first is "
            f"{next(image for image in images if '/' not in image)}); move them into a person's folder"
        )
    if pattern is None:
        raise LayoutError(
            f"{folder}: images without folders of people; say whose they are with an index CSV (image,person) or a "
            r"pattern, e.g. --identity-pattern '(.+)_\d+'"
        )
    return [Face(image, _person_of(composed(Path(image).stem), pattern)) for image in images], f"pattern {pattern}"


def read_index(path: Path, folder: Path, labelled: bool = True) -> list[dict[str, str]]:
    """Read an index CSV: a header with `image` and `person`, further columns kept.

    Args:
        path: The CSV file.
        folder: The images are paths below it.
        labelled: Whether it must name people; else all are `NOBODY`.

    Returns:
        The rows, images as they are spelled on the disk and people composed.

    Raises:
        LayoutError: An empty field, an image named twice or missing.
        TextError: It is no CSV.
    """
    rows = read_table(path, ("image", "person", "source"))
    seen: set[str] = set()
    spelled = paths_as_spelled(folder)
    for line, row in rows:
        image, person = row.get("image"), row.get("person") if labelled else NOBODY
        if not image or not person:
            raise LayoutError(f"{path}, line {line}: expected the columns image and person, found {row}; mend the line")
        there = spelled(image)
        if there is None:
            raise LayoutError(f"{path}, line {line}: {folder / image} does not exist; mend or remove the line")
        if there in seen:
            raise LayoutError(f"{path}, line {line}: {image} is named twice; remove one line")
        row |= {"image": there, "person": composed(person)}
        seen.add(there)
    if not rows:
        raise LayoutError(f"{path}: no lines below the header; expected the columns image and person")
    return [row for _, row in rows]


def _person_of(stem: str, pattern: str) -> str:
    try:
        match = re.match(pattern, stem)
    except re.error as error:
        raise LayoutError(f"--identity-pattern {pattern}: not a regular expression ({error})") from None
    person = match and (match[1] if match.re.groups else match[0])
    if not person:
        raise LayoutError(rf"{stem}: --identity-pattern {pattern} finds no person in it; a pattern is e.g. '(.+)_\d+'")
    return person
