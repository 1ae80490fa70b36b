"""Lists of names in MAT-files, as TinyFace and SurvFace come with them, and the images that they name."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.formats.matlab import number_list, read_matlab, text_table
from pipeline.published.published_set import PublishedSetError, images_in


def listed_people(root: Path, folder: Path, list_name: str, what: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the images of a folder and whose each is: by a MAT-file (WHAT_set, WHAT_ids), else by their names.

    Args:
        root: What the names of the images are relative to; the MAT-file is beside the folder or below this one.
        folder: Where the images are.
        list_name: Of the MAT-file.
        what: Of its variables.

    Raises:
        PublishedSetError: An image that the list names is not there, or a name that says no person.
        FormatError: A damaged MAT-file.
    """
    found = images_in(folder, root)
    below = (each for folders in ("", "*/", "*/*/") for each in sorted(root.glob(folders + list_name)))
    path = next((each for each in (folder.parent / list_name, *below) if each.is_file()), None)
    if path is None:
        return found, np.array([_person_in(folder, name) for name in found])
    variables = read_matlab(path)
    named = [name for row in text_table(path, variables, f"{what}_set") for name in row]
    people = number_list(path, variables, f"{what}_ids")
    if len(named) != len(people):
        raise PublishedSetError(f"{path}: {len(named)} names and {len(people)} people; copy the file again")
    return images_named(folder, root, named), people


def images_named(folder: Path, root: Path, named: list[str]) -> list[str]:
    """Return images by their names in a list, whatever their endings are now, by their paths below the root.

    Raises:
        PublishedSetError: Some are not there.
    """
    place = {Path(name).stem: name for name in images_in(folder, root)}
    missing = [name for name in named if Path(name).stem not in place]
    if missing:
        raise PublishedSetError(
            f"{folder}: {len(missing)} of {len(named)} images listed are not there, the first is {missing[0]!r}; "
            "unpack them all there"
        )
    return [place[Path(name).stem] for name in named]


def _person_in(folder: Path, name: str) -> int:
    person = name.rpartition("/")[2].partition("_")[0]
    if not person.isdigit():
        raise PublishedSetError(
            f"{folder}: {name!r} does not begin with the number of a person; put the MAT-files there"
        )
    return int(person)
