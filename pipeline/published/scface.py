"""SCface: five surveillance cameras at three distances, searched among mugshots.

    mugshot_frontal_original_all/001_frontal.jpg                    130 people, one each
    mugshot_frontal_cropped_all/001_frontal.JPG                     the same, cut; taken where the others are not there
    surveillance_cameras_distance_1/cam_1/001_cam1_1.jpg            person, camera 1 to 5, distance
    surveillance_cameras_all/001_cam1_1.jpg                         the same in one folder

Distances 1, 2 and 3 are 4.20, 2.60 and 1.00 m. Cameras 6 to 8, infra-red, take no part: the protocol is that of
daytime, every camera's image among the mugshots. (Grgic, Delac and Grgic, "SCface - surveillance cameras face
database", Multimedia Tools and Applications 51, 2011, https://www.scface.org/; names and distances as the protocol of
McLaren and Wallace, https://www.idiap.ch, has them.) Many papers tune on 50 of the people and test on 80; here all are
searched.
"""

import re
from pathlib import Path

import numpy as np

from dataset.photographs.photograph_folders import find_photographs
from pipeline.published.published_set import (
    PublishedSet,
    PublishedSetError,
    key_of,
    reader_of,
    unlike_published,
)
from pipeline.published.search_trials import RetrievalTrial

DISTANCES = {1: "4.20 m", 2: "2.60 m", 3: "1.00 m"}
CAMERAS = range(1, 6)
_MUGSHOT = re.compile(r"(\d+)_frontal\.\w+", re.IGNORECASE)
_SEEN = re.compile(r"(\d+)_cam([1-5])_([1-3])\.\w+", re.IGNORECASE)


def open_scface(root: Path) -> PublishedSet:
    """Read the database's folder; images that stand in it twice are taken once.

    Raises:
        PublishedSetError: No mugshots, or no camera's images of their people.
    """
    mugshots: dict[int, str] = {}
    seen: dict[tuple[int, int, int], str] = {}
    for name in find_photographs(root).names:
        last = name.rpartition("/")[2]
        if found := _MUGSHOT.fullmatch(last):
            person = int(found[1])
            mugshots[person] = min(mugshots.get(person, name), name, key=lambda each: ("cropped" in each, each))
        elif found := _SEEN.fullmatch(last):
            seen.setdefault((int(found[1]), int(found[2]), int(found[3])), name)
    probes = [key for key in sorted(seen) if key[0] in mugshots]
    if not probes:
        raise PublishedSetError(
            f"{root}: {len(mugshots)} mugshots (001_frontal.jpg) and {len(seen)} images of cameras (001_cam1_1.jpg), "
            "none of one person; give the folder of the unpacked database"
        )
    people, (person, camera, distance) = sorted(mugshots), np.array(probes).T
    names = [*(mugshots[each] for each in people), *(seen[key] for key in probes)]
    groups = [(length, distance == number) for number, length in DISTANCES.items()]
    groups += [
        (f"{length}, camera {each}", (distance == number) & (camera == each))
        for number, length in DISTANCES.items()
        for each in CAMERAS
    ]
    trial = RetrievalTrial(
        f"Searches: {len(probes):,} images of cameras among {len(people)} mugshots",
        np.arange(len(people)),
        np.array(people),
        np.arange(len(people), len(names)),
        person,
        (1,),
        groups=[(name, chosen) for name, chosen in groups if chosen.any()],
    )
    notes = unlike_published({"mugshots": (130, len(people)), "images of cameras": (1950, len(probes))})
    return PublishedSet("SCface", names, reader_of(root, names), key_of(root, names), [trial], notes=notes)
