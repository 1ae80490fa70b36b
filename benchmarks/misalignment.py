"""What alignment is worth at a few pixels, and what misalignment costs.

python -m benchmarks.misalignment dataset/val_processed --edgeface edgeface_xxs.pt --photographs lfw_raw

prints tables of TAR at FAR 1 %, the gallery at full size and aligned. In the first the landmarks of each probe are
moved, in a direction of its own: shifted by a share of the face's width, turned by a share of a right angle, scaled;
beyond the crop the edge is repeated. Small faces are embedded by the shipped chain (super-resolver and adapter), faces
of 112 px by EdgeFace alone. In the others, photographs with margins are shrunk until the face has the size, and then
cut out in several ways.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE, FACE_PX, align
from dataset.photographs.detect import FaceDetector, native_size_px
from dataset.photographs.image_files import read_image
from dataset.photographs.intake import read_landmarks
from dataset.photographs.seen_faces import FaceReader, align_at_own_size, shrink_face
from dataset.store import FaceStore
from engine import options
from engine.cli import command
from engine.device import pick_device
from metrics.bootstrap import draw_people, rate_interval
from metrics.comparisons import all_pairs
from metrics.resampling import resample
from metrics.verification import tar_at_far
from pipeline.default_files import choose_dsr
from pipeline.evaluation.embedder import Chain, embed_faces
from pipeline.evaluation.systems import Networks, load_networks

SIZES_PX = (16, 24, 32)
AMOUNTS = (0.05, 0.1, 0.2)
PHOTOGRAPHS = 4
TEMPLATE = np.array(ARCFACE_TEMPLATE)
ALONE = Chain(False, "bicubic", True, ("original",))
SHIPPED = Chain(True, "bicubic", True, ("adapted",))

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
Move = Callable[[Points, float, np.random.Generator], Points]


@dataclass(frozen=True)
class MisalignmentConfig:
    """Print TAR at FAR 1 % of misaligned faces, and of photographs cut out in several ways."""

    split: Annotated[Path, typer.Argument(help="A prepared split.")] = Path("dataset/val_processed")
    edgeface: Annotated[str, typer.Option(help="EdgeFace weights.")] = "edgeface_xxs.pt"
    photographs: Annotated[
        Path | None, typer.Option(help="Photographs with margins: people's folders beside their landmarks.csv.")
    ] = None
    bootstrap: Annotated[int, typer.Option(min=0, help="Replicates of the intervals; 0: none.")] = 200
    device: options.Device = "auto"


def misalignment(config: MisalignmentConfig) -> None:
    """Print both tables."""
    networks = load_networks(config.edgeface, choose_dsr("default"), None, "full", pick_device(config.device))
    store = FaceStore.open(config.split)
    rows = few_of_each(store.person)
    faces = list(store.faces[rows])
    judge = Judge(networks, faces, store.person[rows], config.bootstrap)
    heading(f"landmarks ({len(rows)} faces of {len(set(store.person[rows]))} people)", [*SIZES_PX, FACE_PX])
    for name, moved in misaligned(faces):
        small = [judge.rate([shrink_face(face, size) for face in moved], SHIPPED) for size in SIZES_PX]
        line(name, [*small, judge.rate(moved, ALONE)])
    if config.photographs is not None:
        cut_out(config, config.photographs, networks)


def cut_out(config: MisalignmentConfig, folder: Path, networks: Networks) -> None:
    """Print what each way to cut faces out of small photographs is worth, and what the commands took them for."""
    table = read_landmarks(folder / "landmarks.csv")
    photographs = [(read_image(folder / name), points) for name, points in table.items()]
    people = np.unique([name.partition("/")[0] for name in table], return_inverse=True)[1]
    judge = Judge(networks, [align(*each) for each in photographs], people, config.bootstrap)
    detector, reader = FaceDetector(), FaceReader()
    squares = [square_around(detector.detect(image)[0].box, image) for image, _ in photographs]
    ways: dict[str, Callable[[int, Picture, Points], Picture]] = {
        "aligned by the list": lambda row, image, points: align_at_own_size(image, points)[0],
        "as the commands do": lambda row, image, points: reader.find(image, "photograph")[0].pixels,
        "the square around its box": lambda row, image, points: cut(image, squares[row]),
        "the whole picture": lambda row, image, points: image,
    }
    for chain, title in ((SHIPPED, "shipped chain"), (ALONE, "bicubic and EdgeFace")):
        heading(f"cut out, {title} ({len(table)} photographs of {len(set(people))} people)", SIZES_PX)
        for name, way in ways.items():
            rates = []
            for size in SIZES_PX:
                small = [to_size(image, points, size) for image, points in photographs]
                rates.append(judge.rate([way(row, *each) for row, each in enumerate(small)], chain))
            line(name, rates)
    for size in SIZES_PX:
        reader.counts.clear()
        for each in photographs:
            reader.find(to_size(*each, size)[0], "photograph")
        print(f"\n{size} px, {reader.summary()}")


class Judge:
    """Compares low-resolution faces with all the full-size ones, one photograph of each person with another.

    Args:
        networks: The original EdgeFace, which embeds the gallery, and what embeds probes.
        gallery: Aligned 112x112 faces.
        person: (N,) whose each is.
        replicates: Of the intervals.
    """

    def __init__(
        self, networks: Networks, gallery: list[Picture], person: NDArray[np.integer], replicates: int
    ) -> None:
        self._networks, self._person = networks, np.unique(person, return_inverse=True)[1].astype(np.int64)
        self._gallery = self._embed(gallery, ALONE)
        self._weights = draw_people(int(self._person.max()) + 1, replicates, seed=0)

    def rate(self, probes: list[Picture], chain: Chain) -> str:
        """Return TAR at FAR 1 % in percent of probes, one for each face of the gallery, and its 95 % interval."""
        scores = all_pairs(self._embed(probes, chain), self._gallery, self._person, self._person)
        tar = tar_at_far(scores.genuine, scores.impostor, 0.01).tar
        drawn = resample(scores, self._person, self._weights, seed=0)
        bounds = rate_interval(tar, drawn.tar_at_far(0.01), drawn.mated) if len(self._weights) else None
        return f"{100 * tar:.1f}" + (f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]" if bounds else "")

    def _embed(self, faces: list[Picture], chain: Chain) -> NDArray[np.float32]:
        batches = (list(faces[start : start + 64]) for start in range(0, len(faces), 64))
        return np.concatenate([embed_faces(self._networks, [*batch], chain)[:, 0] for batch in batches])


def few_of_each(person: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the rows of everybody's first photographs, of those who have two or more."""
    rows = [np.flatnonzero(person == each)[:PHOTOGRAPHS] for each in np.unique(person)]
    return np.sort(np.concatenate([each for each in rows if len(each) > 1])).astype(np.int64)


def misaligned(faces: list[Picture]) -> Iterator[tuple[str, list[Picture]]]:
    """Yield what was done to the landmarks, in words, and the faces that such landmarks cut out."""
    margin = FACE_PX // 2
    wide = [np.pad(face, ((margin, margin), (margin, margin), (0, 0)), mode="edge") for face in faces]
    yield "in place", faces
    for kind, move in MOVES.items():
        for amount in AMOUNTS:
            draws = [np.random.default_rng((number, *kind.encode())) for number in range(len(faces))]
            moved = [align(face, move(TEMPLATE, amount, draw) + margin) for face, draw in zip(wide, draws, strict=True)]
            yield f"{kind} by {100 * amount:.0f} %", moved


def shifted(points: Points, amount: float, draw: np.random.Generator) -> Points:
    """Move landmarks by a share of the face's width."""
    angle = draw.uniform(0, 2 * math.pi)
    return np.asarray(points + amount * FACE_PX * np.array([math.cos(angle), math.sin(angle)]))


def turned(points: Points, amount: float, draw: np.random.Generator) -> Points:
    """Turn landmarks about the face's middle by a share of a right angle, to one side or the other."""
    angle = draw.choice((-1, 1)) * amount * math.pi / 2
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray((points - FACE_PX / 2) @ turn + FACE_PX / 2)


def scaled(points: Points, amount: float, draw: np.random.Generator) -> Points:
    """Enlarge or shrink landmarks about the face's middle."""
    return np.asarray((points - FACE_PX / 2) * (1 + draw.choice((-1, 1)) * amount) + FACE_PX / 2)


def all_three(points: Points, amount: float, draw: np.random.Generator) -> Points:
    """Shift, turn and scale."""
    return shifted(turned(scaled(points, amount, draw), amount, draw), amount, draw)


MOVES: dict[str, Move] = {"shifted": shifted, "turned": turned, "scaled": scaled, "all three": all_three}


def to_size(image: Picture, points: Points, size_px: int) -> tuple[Picture, Points]:
    """Shrink a photograph until its face has a size; landmarks follow."""
    factor = size_px / native_size_px(points, TEMPLATE)
    height, width = (round(side * factor) for side in image.shape[:2])
    small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    return small, (points + 0.5) * (width / image.shape[1], height / image.shape[0]) - 0.5


def square_around(box: tuple[float, float, float, float], image: Picture) -> tuple[float, float, float]:
    """Return centre and side, in shares of a picture's width, of the square around a face's box."""
    left, top, right, bottom = box
    return (left + right) / 2 / image.shape[1], (top + bottom) / 2 / image.shape[1], (bottom - top) / image.shape[1]


def cut(image: Picture, square: tuple[float, float, float]) -> Picture:
    """Cut a square out of a picture; black where the picture ends."""
    across, down, side = (share * image.shape[1] for share in square)
    left, top = round(across - side / 2), round(down - side / 2)
    return np.asarray(Image.fromarray(image).crop((left, top, left + round(side), top + round(side))))


def heading(first: str, sizes_px: Sequence[int]) -> None:
    """Print the head of a table."""
    print(f"\n| {first} | " + " | ".join(f"{size} px" for size in sizes_px) + " |")
    print("| --- " * (len(sizes_px) + 1) + "|", flush=True)


def line(first: str, values: list[str]) -> None:
    """Print a line of a table."""
    print(f"| {first} | {' | '.join(values)} |", flush=True)


main = command(
    MisalignmentConfig,
    misalignment,
    example="python -m benchmarks.misalignment dataset/val_processed --edgeface edgeface_xxs.pt",
)

if __name__ == "__main__":
    main()
