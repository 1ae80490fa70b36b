"""Builds the published test sets in small, of synthetic faces and from their published descriptions.

Nothing here uses the readers under test; each builder returns what it wrote, for a naive evaluation.
"""

from pathlib import Path

import numpy as np
from PIL import Image

WORDS = 6


def face(person, photo, size=112):
    """(size, size, 3) uint8 RGB: a coarse picture that is a person's, with a little of the photograph's own."""
    own = np.random.default_rng(1000 + person).uniform(0, 255, (WORDS, WORDS, 3))
    noise = np.random.default_rng(100_000 + 1000 * person + photo).normal(0, 40, own.shape)
    coarse = np.clip(own + noise, 0, 255).astype(np.uint8)
    grain = np.random.default_rng(7 * person + photo).integers(-60, 60, (size, size, 3))
    smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), np.int64)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def save(path: Path, pixels):
    """Write a picture without loss, whatever its name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def pair_lists(people, folds, each, seed=0):
    """[(fold, (person, photo), (person, photo))]: as many matched as mismatched in each fold."""
    draw = np.random.default_rng(seed)
    found = []
    for fold in range(1, folds + 1):
        for _ in range(each):
            person = int(draw.integers(people))
            found.append((fold, (person, 1), (person, 2)))
        for _ in range(each):
            one, other = draw.choice(people, 2, replace=False).tolist()
            found.append((fold, (one, 1), (other, 2)))
    return found


def build_xqlfw(root: Path, pairs, size_of, missing=()):
    """XQLFW: LFW's pairs.txt with another name, and people's folders of aligned faces."""
    folds = pairs[-1][0]
    lines = [f"{folds}\t{len(pairs) // folds // 2}"]
    for _, (one, first), (other, second) in pairs:
        names = [f"Person_{one:02d}", str(first), *([f"Person_{other:02d}"] if one != other else []), str(second)]
        lines.append("\t".join(names))
        for person, photo in ((one, first), (other, second)):
            name = f"Person_{person:02d}"
            if (person, photo) not in missing:
                save(root / "xqlfw_aligned_112" / name / f"{name}_{photo:04d}.jpg", face(person, photo, size_of(photo)))
    (root / "xqlfw_pairs.txt").write_text("\n".join(lines) + "\n")
    (root / "xqlfw_scores.txt").write_text("ID\tNum\tScore\nPerson_00\t1\t0.5\n")
    return root
