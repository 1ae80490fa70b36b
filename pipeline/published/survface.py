"""QMUL-SurvFace: faces of some 24 by 20 pixels from surveillance, compared in pairs and searched in a watch list.

    Face_Verification_Test_Set/verification_images/     the faces of the pairs
    Face_Verification_Test_Set/positive_pairs_names.mat     positive_pairs_names: two names a row, of one person
    Face_Verification_Test_Set/negative_pairs_names.mat     negative_pairs_names: of two people
    Face_Identification_Test_Set/gallery/, mated_probe/, unmated_probe/
    Face_Identification_Test_Set/gallery_img_ID_pairs.mat        gallery_set, gallery_ids
    Face_Identification_Test_Set/mated_probe_img_ID_pairs.mat    mated_probe_set, mated_probe_ids

Pairs: TAR at FAR 30, 10, 1 and 0.1 %, the area under the ROC, and the mean accuracy of ten parts in their order, each
judged by the threshold of the others. Watch list: the share of mated probes that find their person within rank 20 at
the threshold by which so many unmated probes find anybody (TPIR20 at FPIR 30, 20, 10, 1 %), and the area under that
curve; the images of a person in the gallery make one template, their mean, as public evaluations of the set do. (Cheng,
Zhu and Gong, "Surveillance Face Recognition Challenge", arXiv 1804.09691;
https://qmul-survface.github.io/protocols.html.)
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.formats.matlab import read_matlab, text_table
from dataset.formats.verification_set import fold_of
from pipeline.published.name_lists import images_named, listed_people
from pipeline.published.pair_trials import PairTrial
from pipeline.published.published_set import (
    PublishedSet,
    PublishedSetError,
    Trial,
    folder_below,
    images_in,
    key_of,
    reader_of,
    unlike_published,
)
from pipeline.published.search_trials import NOBODY, WatchListTrial

_PAIRS, _SEARCHES = "Face_Verification_Test_Set", "Face_Identification_Test_Set"
FARS = (0.3, 0.1, 0.01, 0.001)
FPIRS = (0.3, 0.2, 0.1, 0.01)


def open_survface(root: Path) -> PublishedSet:
    """Read one half of the test set or both.

    Raises:
        PublishedSetError: Neither half is there, or an image is not.
        FormatError: A damaged MAT-file.
    """
    names: list[str] = []
    trials: list[Trial] = []
    notes: list[str] = []
    halves = [name for name in (_PAIRS, _SEARCHES) if root.name == name or (root / name).is_dir()]
    if not halves:
        raise PublishedSetError(f"{root}: neither {_PAIRS} nor {_SEARCHES} in it; give the folder of the unpacked set")
    for half, read in ((_PAIRS, _pairs), (_SEARCHES, _searches)):
        if half in halves:
            faces, trial, said = read(folder_below(root, half), root, len(names))
            names += faces
            trials.append(trial)
            notes += said
        else:
            notes.append(f"{half} is not there, and its half of the protocol is left out")
    return PublishedSet("QMUL-SurvFace", names, reader_of(root, names), key_of(root, names), trials, notes=notes)


def _pairs(folder: Path, root: Path, first_row: int) -> tuple[list[str], Trial, list[str]]:
    lists = []
    for kind in ("positive", "negative"):
        path = folder / f"{kind}_pairs_names.mat"
        lists.append([row[:2] for row in text_table(path, read_matlab(path), f"{kind}_pairs_names")])
    pairs = lists[0] + lists[1]
    named = list(dict.fromkeys(name for pair in pairs for name in pair))
    row = {name: first_row + number for number, name in enumerate(named)}
    same = np.arange(len(pairs)) < len(lists[0])
    folds = np.concatenate([[fold_of(pair, len(each)) for pair in range(len(each))] for each in lists])
    trial = PairTrial(
        f"Pairs: {len(pairs):,}, {len(lists[0]):,} of one person",
        np.array([[row[name] for name in pair] for pair in pairs]),
        same,
        folds,
        FARS,
    )
    notes = unlike_published({"positive pairs": (5320, len(lists[0])), "negative pairs": (5320, len(lists[1]))})
    return images_named(folder_below(folder, "verification_images"), root, named), trial, notes


def _searches(folder: Path, root: Path, first_row: int) -> tuple[list[str], Trial, list[str]]:
    gallery, gallery_person = listed_people(root, folder / "gallery", "gallery_img_ID_pairs.mat", "gallery")
    mated, mated_person = listed_people(root, folder / "mated_probe", "mated_probe_img_ID_pairs.mat", "mated_probe")
    unmated = images_in(folder_below(folder, "unmated_probe"), root)
    rows: NDArray[np.int64] = first_row + np.arange(len(gallery) + len(mated) + len(unmated))
    trial = WatchListTrial(
        f"Watch list: {len(np.unique(gallery_person)):,} people; {len(mated):,} mated and {len(unmated):,} unmated "
        "probes",
        rows[: len(gallery)],
        gallery_person,
        rows[len(gallery) :],
        np.concatenate([mated_person, np.full(len(unmated), NOBODY)]),
        FPIRS,
    )
    counts = {"images of the gallery": (60_294, len(gallery)), "mated probes": (60_423, len(mated))}
    return [*gallery, *mated, *unmated], trial, unlike_published(counts)
