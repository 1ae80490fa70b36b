"""From photographs to names, counted: `python -m benchmarks.photographs MODEL.onnx PHOTOS LANDMARKS.csv`.

PHOTOS holds one folder a person. Two people of three are enrolled, each with one photograph; all their other
photographs and those of every third person, a stranger, are identified, at full size and at 16 px. The commands that
users call are called. The detector's landmarks are compared with a list of published ones.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from dataset.photographs.detect import FaceDetector
from dataset.photographs.image_files import read_image

SIZES_PX = (112, 16)


def main(model: Path, photos: Path, landmarks: Path) -> None:
    """Print the counts."""
    compare_landmarks(photos, landmarks)
    people = sorted(folder for folder in photos.iterdir() if folder.is_dir())
    strangers = people[2::3]
    with tempfile.TemporaryDirectory() as scratch:
        gallery, enrolled, probes = Path(scratch) / "people.gallery", Path(scratch) / "enrol", Path(scratch) / "probes"
        for person in people:
            first, *others = sorted(person.iterdir())
            link([*([first] if person in strangers else []), *others], probes / person.name)
            if person not in strangers:
                link([first], enrolled / person.name)
        run("enroll", str(gallery), str(enrolled), "--model", str(model))
        print(f"{len(people) - len(strangers)} people enrolled with one photograph each, {len(strangers)} strangers")
        names = {stranger.name for stranger in strangers}
        for size in SIZES_PX:
            rates(
                run("identify", str(gallery), str(probes), "--model", str(model), "--at-size", str(size)), names, size
            )
        one = next(probes.rglob("*.jpg"))
        cost_of_one(["identify", str(gallery), str(one), "--model", str(model)])


def compare_landmarks(photos: Path, landmarks: Path) -> None:
    """Count faces found, and say how far their landmarks are from the published ones."""
    with landmarks.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    detector, distances = FaceDetector(), []
    for name, *values in rows:
        faces = detector.detect(read_image(photos / name))
        wanted = np.array(values, float).reshape(5, 2)
        distances += [min(np.linalg.norm(face.landmarks - wanted, axis=1).mean() for face in faces)] if faces else []
    middle, high = np.percentile(distances, [50, 95])
    print(f"a face in {len(distances)} of {len(rows)}; landmarks {middle:.2f} px away (median), {high:.2f} px (95 %)")


def rates(lines: list[str], strangers: set[str], size_px: int) -> None:
    """Count right names, wrong names and unknowns over the largest face of each photograph."""
    known: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for answer in map(json.loads, lines):
        if answer.get("face", 1) != 1:
            continue
        truth = Path(answer.get("photograph", "failed/failed")).parent.name
        if truth in strangers:
            unknown["unknown" if answer["person"] is None else "named"] += 1
        else:
            known["nearest"] += answer.get("nearest") == truth
            known["right" if answer.get("person") == truth else "wrong" if answer.get("person") else "unknown"] += 1
    total = known["right"] + known["wrong"] + known["unknown"]
    print(
        f"{size_px} px: of {total} photographs of enrolled people {known['right']} right, {known['wrong']} wrong, "
        f"{known['unknown']} unknown (the right person is the nearest in {known['nearest']}); of "
        f"{unknown.total()} of strangers {unknown['unknown']} unknown, {unknown['named']} named"
    )


def cost_of_one(arguments: list[str]) -> None:
    """Print what identifying one photograph costs as a process of its own."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "pipeline", *arguments], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    print(
        f"identify, one photograph: {usage.ru_maxrss / 1024:.0f} MiB at most, {usage.ru_utime + usage.ru_stime:.2f} s "
        f"of processor time, {time.monotonic() - start:.2f} s"
    )


def run(*arguments: str) -> list[str]:
    """Run a command of the pipeline and return its lines of JSON."""
    command = [sys.executable, "-m", "pipeline", *arguments, "--json"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()


def link(files: list[Path], folder: Path) -> None:
    """Make a folder of links."""
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.absolute())


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
