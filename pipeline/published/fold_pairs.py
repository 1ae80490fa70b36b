"""Protocols of pairs in ten folds: InsightFace's `.bin` files, and XQLFW.

bin      lfw.bin, cfp_fp.bin, agedb_30.bin and so on (`dataset/formats/verification_set.py`). Pairs in their order, ten
         parts of equal length; the accuracy of each by the threshold that is best on the other nine; mean and standard
         deviation (InsightFace, `recognition/arcface_torch/eval/verification.py`). Published figures add the mirror
         image's embedding, as `--flip` does, and take the best threshold of a grid of steps of 0.01 in the squared
         distance; here it is exact.
xqlfw    LFW's people and folds with pairs of different quality (Knoche et al., "Cross-Quality LFW", FG 2021, arXiv
         2108.10290): `xqlfw_pairs.txt` in LFW's format, and a folder of people's folders, either the photographs
         (`lfw_original_imgs_min_qual0.85variant11`) or the aligned faces (`xqlfw_aligned_112`), as
         https://martlgap.github.io/xqlfw/pages/download.html has them. Some aligned faces are missing there, since
         their authors found no face; a pair with one counts as an error.
"""

import os
from pathlib import Path

import numpy as np

from dataset.formats.verification_set import encoded_image, fold_of, is_verification_set, read_lists
from dataset.photographs.image_files import decode_image
from dataset.photographs.pairs import PairsError, read_pairs
from dataset.photographs.photograph_folders import look_through
from engine.files import sha256_of
from pipeline.evaluation.faces import Picture
from pipeline.published.pair_trials import PairTrial
from pipeline.published.published_set import PublishedSet, PublishedSetError, key_of, reader_of, unlike_published


def open_bin(path: Path) -> PublishedSet:
    """Read a verification set.

    Raises:
        PublishedSetError: No such file, or another one.
        FormatError: A damaged one.
    """
    if not is_verification_set(path):
        raise PublishedSetError(f"{path}: no verification set; give a file such as lfw.bin")
    images, labels = read_lists(path)
    count = min(len(images) // 2, len(labels))
    same = np.array(labels[:count])
    rows = np.arange(2 * count).reshape(count, 2)
    folds = np.array([fold_of(pair, count) for pair in range(count)])

    def read(row: int) -> Picture:
        return decode_image(encoded_image(path, images, row), f"{path}, image {row}")

    notes = [f"{len(labels) - count} pairs lack their images"] if len(labels) > count else []
    if len(set(same.tolist())) < 2:
        notes.append(f"all pairs show {'one person' if same.all() else 'two people'}, so that any accuracy is reached")
    title = f"Pairs: {count:,}, {int(same.sum()):,} of one person, in {len(np.unique(folds))} folds"
    trial = PairTrial(title, rows, same, folds)
    names = [f"image {row}" for row in range(2 * count)]
    return PublishedSet("verification set", names, read, sha256_of(path), [trial], aligned=True, notes=notes)


def open_xqlfw(root: Path) -> PublishedSet:
    """Read XQLFW's folder, which has its list of pairs, and its images in people's folders.

    Raises:
        PublishedSetError: No list, or no image that it names.
    """
    pairs = read_pairs(_pairs_list(root))
    found = _images(root)
    keys = list(dict.fromkeys(key for pair in pairs for key in pair.keys))
    row = {key: number for number, key in enumerate(keys)}
    names = [found.get(key, f"{key}.jpg") for key in keys]
    there = [name for key, name in zip(keys, names, strict=True) if key in found]
    if not there:
        raise PublishedSetError(f"{root}: none of the {len(keys)} images of its pairs, such as {names[0]}, is in it")
    content = key_of(root, there)
    notes = unlike_published({"images of the pairs": (len(keys), len(there)), "pairs": (6000, len(pairs))})
    trial = PairTrial(
        f"Pairs: {len(pairs):,}, {sum(pair.same for pair in pairs):,} of one person",
        np.array([[row[key] for key in pair.keys] for pair in pairs]),
        np.array([pair.same for pair in pairs]),
        np.array([pair.fold for pair in pairs]),
    )
    return PublishedSet("XQLFW", names, reader_of(root, names), content, [trial], notes=notes)


def _images(root: Path) -> dict[str, str]:
    """Return the images in people's folders, by the name that a list of pairs has for them."""
    names = look_through(root).names
    folders = sorted({name.rpartition("/")[0].rpartition("/")[0] for name in names})
    if len(folders) > 1:
        raise PublishedSetError(f"{root}: people's folders in several places ({', '.join(folders)}); leave one of them")
    return {_key(name): name for name in names}


def _key(name: str) -> str:
    """Return how a list of pairs names the image at a path: the person's folder and the stem."""
    return "/".join(os.path.splitext(name)[0].split("/")[-2:])


def _pairs_list(root: Path) -> Path:
    """Return the list of pairs in a folder, told by its content."""
    for path in sorted([*root.glob("*.txt"), *root.glob("*/*.txt")]):
        try:
            read_pairs(path)
        except PairsError:
            continue
        return path
    raise PublishedSetError(f"{root}: no list of pairs in it; put xqlfw_pairs.txt there, beside the folder of images")
