"""Builds the published test sets in small, of synthetic faces and from their published descriptions.

Nothing here uses the readers under test; each builder returns what it wrote, for a naive evaluation.
"""

from pathlib import Path

import numpy as np
from PIL import Image

WORDS = 6


def cells(rows):
    """A cell array of texts, one row each, for `scipy.io.savemat`."""
    made = np.empty((len(rows), len(rows[0])), object)
    for number, row in enumerate(rows):
        made[number] = row
    return made


def face(person, photo, size=112):
    """(size, size, 3) uint8 RGB: a coarse picture that is a person's, with a little of the photograph's own."""
    own = np.random.default_rng(1000 + person).uniform(0, 255, (WORDS, WORDS, 3))
    noise = np.random.default_rng(100_000 + 1000 * person + photo).normal(0, 40, own.shape)
    coarse = np.clip(own + noise, 0, 255).astype(np.uint8)
    grain = np.random.default_rng(7 * person + photo).integers(-60, 60, (size, size, 3))
    smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), np.int64)
    return np.clip(smooth + grain, 0, 255).astype(np.uint8)


def naive_folds(scores, same, parts):
    """The accuracy of each part by the threshold that is best on the others, the middle one of the best midpoints."""
    accuracies = []
    for part in parts:
        rest = np.setdiff1d(np.arange(len(scores)), part)
        known = np.unique(scores[rest])
        candidates = [known[0] - 1, *((known[1:] + known[:-1]) / 2), known[-1] + 1]
        hits = [((scores[rest] >= candidate) == same[rest]).sum() for candidate in candidates]
        best = [candidate for candidate, hit in zip(candidates, hits, strict=True) if hit == max(hits)]
        accuracies.append(((scores[part] >= best[len(best) // 2]) == same[part]).mean())
    return accuracies


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


def size_of(person, photo):
    """From 8 to 40 px, of which those up to 32 go the way of small faces."""
    return 8 + (5 * person + 11 * photo) % 33


def save_faces(folder: Path, photos, suffix="jpg"):
    """Write (person, photo) as PERSON_cam1_PHOTO.jpg; return the names."""
    names = [f"{person}_cam1_{photo}.{suffix}" for person, photo in photos]
    for name, (person, photo) in zip(names, photos, strict=True):
        save(folder / name, face(person, photo, size_of(person, photo)))
    return names


def save_people(path: Path, what, names, people):
    """Write the names of images and the numbers of their people as the QMUL sets have them."""
    from scipy.io import savemat

    numbers = np.array(people, np.uint16).reshape(-1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {f"{what}_set": cells([[name] for name in names]), f"{what}_ids": numbers}, do_compression=True)


def build_tinyface(root: Path, people=8, distractors=15, lists="Testing_Set", suffix="jpg"):
    """TinyFace: two or one mates in the gallery, two probes each; person n has the number n + 40 in the lists."""
    folder = root / "Testing_Set"
    gallery = [(person, photo) for person in range(people) for photo in range(1 + person % 2)]
    probes = [(person, photo) for person in range(people) for photo in (5, 6)]
    strangers = [(100 + number, 1) for number in range(distractors)]
    mates = save_faces(folder / "Gallery_Match", gallery, suffix)
    searching = save_faces(folder / "Probe", probes, suffix)
    save_faces(folder / "Gallery_Distractor", strangers, suffix)
    if lists:
        of = {"gallery_match": (mates, gallery, "gallery"), "probe": (searching, probes, "probe")}
        for name, (names, photos, what) in of.items():
            order = np.random.default_rng(3).permutation(len(names))
            people_of = [photos[row][0] + 40 for row in order]
            named = [names[row].replace(f".{suffix}", ".jpg") for row in order]
            save_people(root / lists / f"{name}_img_ID_pairs.mat", what, named, people_of)
    return gallery, probes, strangers


def build_survface(root: Path, people=6, unmated=25):
    """QMUL-SurvFace: pairs in MAT-files, and a watch list of several images a person."""
    from scipy.io import savemat

    pairs = {
        "positive": [((person, 20 + turn), (person, 30 + turn)) for turn in range(5) for person in range(people)],
        "negative": [
            ((person, 20 + turn), ((person + 1 + turn) % people, 30 + turn))
            for turn in range(5)
            for person in range(people)
        ],
    }
    folder = root / "Face_Verification_Test_Set"
    save_faces(
        folder / "verification_images", sorted({each for both in pairs.values() for pair in both for each in pair})
    )
    for kind, listed in pairs.items():
        names = [[f"{person}_cam1_{photo}.jpg" for person, photo in pair] for pair in listed]
        savemat(folder / f"{kind}_pairs_names.mat", {f"{kind}_pairs_names": cells(names)}, do_compression=True)
    folder = root / "Face_Identification_Test_Set"
    gallery = [(person, photo) for person in range(people) for photo in range(1, 4)]
    mated = [(person, photo) for person in range(people) for photo in (7, 8, 9)]
    strangers = [(200 + number, 1) for number in range(unmated)]
    for name, what, photos in (("gallery", "gallery", gallery), ("mated_probe", "mated_probe", mated)):
        names = save_faces(folder / name, photos)
        save_people(folder / f"{name}_img_ID_pairs.mat", what, names, [person + 1 for person, _ in photos])
    save_faces(folder / "unmated_probe", strangers)
    return pairs, gallery, mated, strangers


def build_scface(root: Path, people=5):
    """SCface: a mugshot each, and five cameras at three distances; an infra-red camera that takes no part."""
    side = {1: 16, 2: 28, 3: 60}
    for person in range(people):
        save(root / "mugshot_frontal_cropped_all" / f"{person + 1:03d}_frontal.JPG", face(person, 99))
        for distance, pixels in side.items():
            for camera in range(1, 8):
                name = f"{person + 1:03d}_cam{camera}_{distance}.jpg"
                folder = root / f"surveillance_cameras_distance_{distance}" / f"cam_{camera}"
                save(folder / name, face(person, 10 * distance + camera, pixels))
    return side


def build_ijbc(root: Path, people=6, seed=0):
    """IJB-C: faces with margins and five points, templates of stills and frames, and pairs of templates."""
    from dataset.photographs.align import ARCFACE_TEMPLATE

    draw = np.random.default_rng(seed)
    points, templates, pairs, rows = [], [], [], []
    number = 0
    for template in range(2 * people):
        for medium in range(1 + template % 3):
            for _ in range(1 + int(draw.integers(3))):
                number += 1
                person, scale = template % people, float(draw.choice([0.2, 0.25, 0.6, 1.0]))
                side = int(np.ceil(112 * scale)) + 20
                picture = np.full((side, side, 3), 90, np.uint8)
                pixels = face(person, number, round(112 * scale))
                picture[8 : 8 + len(pixels), 8 : 8 + len(pixels)] = pixels
                five = (np.array(ARCFACE_TEMPLATE) + 0.5) * (len(pixels) / 112) - 0.5 + 8
                save(root / "loose_crop" / f"{number}.jpg", picture)
                score = round(float(draw.uniform(0.5, 1)), 4)
                points.append(f"{number}.jpg " + " ".join(f"{each:.4f}" for each in five.reshape(-1)) + f" {score}")
                templates.append(f"{number}.jpg {1000 + template} {50 * template + medium}")
                rows.append((picture, five, 1000 + template, 50 * template + medium, score))
    for one in range(2 * people):
        for other in range(one + 1, 2 * people):
            pairs.append((1000 + one, 1000 + other, int(one % people == other % people)))
    meta = root / "meta"
    meta.mkdir(parents=True, exist_ok=True)
    (meta / "ijbc_name_5pts_score.txt").write_text("\n".join(points) + "\n")
    (meta / "ijbc_face_tid_mid.txt").write_text("\n".join(templates) + "\n")
    (meta / "ijbc_template_pair_label.txt").write_text("".join(f"{a} {b} {c}\n" for a, b, c in pairs))
    return rows, pairs
