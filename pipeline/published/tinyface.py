"""TinyFace: faces of some 20 pixels, searched among 153,428 distractors.

    Testing_Set/Gallery_Match/          4,443 images, the mates
    Testing_Set/Gallery_Distractor/     153,428 images of people without a probe
    Testing_Set/Probe/                  3,728 images of 2,569 people
    gallery_match_img_ID_pairs.mat      gallery_set: names; gallery_ids: their people
    probe_img_ID_pairs.mat              probe_set, probe_ids

The MAT-files stand in Testing_Set or Face_Identification_Evaluation; without them the person is what stands before the
first underscore of a name. Aligned faces, as they are passed on without their MAT-files, have the same three folders.
Every image of the gallery is an answer of its own: rank 1, 5 and 20 is the first mate's, mAP is over all mates. (Cheng,
Zhu and Gong, "Low-Resolution Face Recognition", ACCV 2018, https://qmul-tinyface.github.io/, its readme.txt and
`test_face_identification.m`; the folders of aligned faces are those of AdaFace's `validation_lq`.)
"""

from pathlib import Path

import numpy as np

from pipeline.published.name_lists import listed_people
from pipeline.published.published_set import (
    PublishedSet,
    folder_below,
    images_in,
    key_of,
    reader_of,
    unlike_published,
)
from pipeline.published.search_trials import NOBODY, RetrievalTrial

_MATCH, _DISTRACTOR, _PROBE = "Gallery_Match", "Gallery_Distractor", "Probe"
_PUBLISHED = {"mates in the gallery": 4443, "distractors": 153_428, "probes": 3728}
RANKS = (1, 5, 20)


def open_tinyface(root: Path) -> PublishedSet:
    """Read the test set.

    Raises:
        PublishedSetError: A folder or an image is not there, or a name says no person.
        FormatError: A damaged MAT-file.
    """
    folders = {name: folder_below(root, name) for name in (_MATCH, _DISTRACTOR, _PROBE)}
    mates, mate_person = listed_people(root, folders[_MATCH], "gallery_match_img_ID_pairs.mat", "gallery")
    probes, probe_person = listed_people(root, folders[_PROBE], "probe_img_ID_pairs.mat", "probe")
    strangers = images_in(folders[_DISTRACTOR], root)
    names = [*mates, *strangers, *probes]
    parts = np.split(np.arange(len(names)), [len(mates) + len(strangers)])
    there = np.isin(probe_person, mate_person)
    counts = dict(zip(_PUBLISHED, (len(mates), len(strangers), len(probes)), strict=True))
    notes = unlike_published({name: (_PUBLISHED[name], count) for name, count in counts.items()})
    if not there.all():
        notes.append(f"{np.count_nonzero(~there)} probes have no mate in {_MATCH} and are left out")
    trial = RetrievalTrial(
        f"Searches: {np.count_nonzero(there):,} probes among {len(parts[0]):,} images of the gallery",
        parts[0],
        np.concatenate([mate_person, np.full(len(strangers), NOBODY)]),
        parts[1][there],
        probe_person[there],
        RANKS,
        mean_average_precision=True,
    )
    return PublishedSet("TinyFace", names, reader_of(root, names), key_of(root, names), [trial], notes=notes)
