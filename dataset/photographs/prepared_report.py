"""What `dataset prepare` says when it is done: how many of whom are where, and what was left out."""

from collections import Counter
from pathlib import Path
from typing import Any

from dataset.photographs.layout import SPLITS, split_folder
from dataset.photographs.problems import PROBLEMS, Problem, kinds, of_another_version
from dataset.store_files import SIZE_PX, Kind

_MANY = 500_000


def count_people(person: list[str]) -> dict[str, Any]:
    """Return how many people and images a split has, by the person of each image."""
    images = Counter(person)
    return {"people": len(images), "images": len(person), "people_with_one_image": list(images.values()).count(1)}


def tell_size(count: int, kind: Kind) -> None:
    """Say what many training faces take as pixels, and what takes less."""
    if kind == "raw" and count >= _MANY:
        print(
            f"{count:,} training faces take {count * SIZE_PX**2 * 3 / 1e9:.0f} GB as pixels; --store encoded keeps "
            "them as they were compressed, and decodes each batch"
        )


def tell_splits(out: Path, counts: dict[str, dict[str, Any]], labelled: bool, pairs: int | None) -> None:
    """Print a line for each split, and one for the pairs that are in none.

    Args:
        out: Folder of the splits.
        counts: Split to its people, images, people with one image, and pairs.
        labelled: Whether it is known whose the faces are.
        pairs: How many the list of pairs has; None without one.
    """
    for split in SPLITS if labelled else ("train",):
        if split not in counts:
            print(f"{split}: none, its share is 0 and nobody was chosen for it")
            continue
        count, folder = counts[split], split_folder(out, split)
        if not labelled:
            print(f"{folder}: {count['images']} images of nobody known, to train by distillation")
            continue
        of_pairs = f", {count['pairs']} pairs" if pairs is not None else ""
        print(
            f"{folder}: {count['people']} people ({count['people_with_one_image']} with one image), "
            f"{count['images']} images{of_pairs}"
        )
    lost = pairs - sum(count["pairs"] for count in counts.values()) if pairs is not None else 0
    if lost:
        print(f"{lost} of {pairs} pairs are in no split: an image is missing, or its people are apart")


def tell_problems(out: Path, source: Path, problems: list[Problem], listed: int) -> None:
    """Print what was left out, and whether a list of landmarks belongs to another version of the pictures.

    Args:
        out: Folder of the splits, which has the list of problems.
        source: Where landmarks come from, for the message.
        problems: What was left out.
        listed: How many images have listed landmarks.
    """
    if problems:
        left_out = ", ".join(f"{count} {kind}" for kind, count in kinds(problems).items())
        print(f"images left out: {left_out}; listed in {out / PROBLEMS}")
    if version := of_another_version(problems, listed):
        print(f"{source}: {version}")
