"""What makes the bad inputs: photographs, weights and splits with something wrong, beside good ones in one folder."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dataset.photographs.align import ARCFACE_TEMPLATE
from dataset.photographs.intake import POINTS
from dataset.store_writer import StoreWriter
from dsr.network import DSR

Make = Callable[[Path], object]
"""Makes an input in the folder that commands run in."""

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69\nsize 12345\n"
CODE = b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch owned\x85R."


def save_face(path: Path, face: NDArray[np.uint8]) -> None:
    """Write a face, (H, W, 3) uint8 RGB, and the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face).save(path)


def written(name: str, data: bytes) -> Make:
    """Write a file."""

    def make(place: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)

    return make


def copied(source: str, target: str, people: Iterable[int] | None = None, each: int = 4) -> Make:
    """Copy some photographs of some people."""

    def make(place: Path) -> None:
        for person in range(8) if people is None else people:
            for number in range(each):
                target_path = place / target / f"person_{person}/{number}.png"
                target_path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(place / source / f"person_{person}/{number}.png", target_path)

    return make


def with_added(name: str, add: Callable[[Path, Path], object]) -> Make:
    """Copy the photographs and add to person 0: `add(folder of the person, a good image)`."""

    def make(place: Path) -> None:
        copied("photos", name)(place)
        folder = place / name / "person_0"
        add(folder, folder / "0.png")

    return make


def half_of(source: str, target: str) -> Make:
    """Write the first half of a file."""

    def make(place: Path) -> None:
        data = (place / source).read_bytes()
        (place / target).write_bytes(data[: len(data) // 2])

    return make


def half_a_list(place: Path) -> None:
    """Lay out TinyFace in small, with half of a MAT-file."""
    for folder in ("Gallery_Match", "Gallery_Distractor", "Probe"):
        shutil.copytree(place / "photos" / "person_0", place / "tiny" / folder)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (place / "tiny" / "probe_img_ID_pairs.mat").write_bytes(header + b"\x0e\0\0\0\xff\xff\0\0" + b"\x06\0\0\0" * 3)
    (place / "tiny" / "gallery_match_img_ID_pairs.mat").write_bytes(header + b"\x0e\0\0\0\xff\xff\0\0")


def strangers(place: Path) -> None:
    """Pack a face of nobody known."""
    with StoreWriter(place / "nobody" / "train_processed", labelled=False) as writer:
        writer.add(np.zeros((112, 112, 3), np.uint8), "unlabelled/face.png", "unlabelled")


def changed_weights(name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Make:
    """Write the weights, changed."""

    def make(place: Path) -> None:
        torch.save(change(torch.load(place / "edgeface_xxs.pt", weights_only=True)), place / name)

    return make


def lacking(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave the last tensors out."""
    return dict(list(state.items())[:-4])


def other_network(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors of a network that is no EdgeFace."""
    return {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(1000, 512)}


def orphan(place: Path) -> None:
    """Copy a split and add a low-resolution image without its face."""
    shutil.copytree(place / "dataset/test_processed", place / "orphan")
    small = next((place / "orphan/vlr_images").rglob("*.png"))
    shutil.copy(small, small.with_name("nobody.png"))


def lone_split(place: Path) -> None:
    """Make a split of one person."""
    face = next((place / "photos").rglob("*.png"))
    for number in range(3):
        target = place / f"lone/hr_images/anna/{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(face, target)


def one_each(place: Path) -> None:
    """Make a split of people with one image each."""
    for person in range(3):
        target = place / f"one_each/hr_images/person_{person}/0.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / f"photos/person_{person}/0.png", target)


def keep_one(folder: Path, good: Path) -> None:
    """Remove all images but the good one."""
    for path in folder.glob("*"):
        if path != good:
            path.unlink()


def strange_images(folder: Path, good: Path) -> None:
    """Valid images of rare kinds, none of which is like another."""
    face = Image.open(good)
    grey = np.asarray(face.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "sixteen_bits.png")
    face.convert("CMYK").rotate(3).save(folder / "cmyk.jpg")
    face.rotate(5).save(folder / "animated.gif", save_all=True, append_images=[face.rotate(9)])
    turned = Image.Exif()
    turned[0x0112] = 6
    face.rotate(90).save(folder / "turned.jpg", exif=turned)


def damaged_images(folder: Path, good: Path) -> None:
    """Add images that cannot be used, and a copy."""
    (folder / "empty.png").write_bytes(b"")
    (folder / "half.png").write_bytes(good.read_bytes()[:4000])
    (folder / "text.jpg").write_text("no image")
    Image.new("RGB", (1, 1)).save(folder / "one_pixel.png")
    Image.new("RGB", (8000, 6250)).save(folder / "fifty_megapixels.png")
    Image.new("L", (10000, 10000)).save(folder / "hundred_megapixels.png")
    shutil.copy(good, folder / "copy.png")


def odd_files(folder: Path, good: Path) -> None:
    """Add what is no photograph, or cannot be read, without harm to the others."""
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "everybody").symlink_to("..")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / ".thumbnails").mkdir()
    shutil.copy(good, folder / ".thumbnails" / "0.png")


def larger_version(place: Path) -> None:
    """List landmarks of the photographs as if they were four times as large."""
    points = ",".join(f"{4 * value:.1f}" for point in ARCFACE_TEMPLATE for value in point)
    heading = ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")
    names = sorted(path.relative_to(place / "photos").as_posix() for path in (place / "photos").rglob("*.png"))
    lines = [f"image,{heading}", *(f"{name},{points}" for name in names)]
    (place / "larger.csv").write_text("\n".join(lines))


def unaligned(name: str, sizes_px: tuple[int, ...]) -> Make:
    """Make a split of two people's photographs of these sizes, which nobody has aligned."""

    def make(place: Path) -> None:
        for person in range(2):
            for number, side in enumerate(sizes_px):
                face = Image.open(place / f"photos/person_{person}/{number}.png").resize((side, side))
                save_face(place / name / f"hr_images/person_{person}/{number}.png", np.asarray(face))

    return make


def inverted_pairs(place: Path) -> None:
    """List pairs of the test split in which 0 means the same person."""
    people = sorted((place / "dataset/test_processed/hr_images").iterdir())
    images = [f"{person.name}/{path.stem}" for person in people for path in sorted(person.iterdir())]
    lines = [
        f"{first},{second},{int(first[:8] != second[:8])}"
        for number, first in enumerate(images)
        for second in images[:number]
    ]
    (place / "inverted.csv").write_text("\n".join(["first,second,same", *lines]))


def two_networks(place: Path) -> None:
    """Write a checkpoint with two whole EdgeFaces whose names do not tell which is meant."""
    state = torch.load(place / "edgeface_xxs.pt", weights_only=True)
    torch.save({"left": state, "right": {name: value + 1 for name, value in state.items()}}, place / "two.pt")


def only_text(place: Path) -> None:
    """Make people whose images are text."""
    for person in range(6):
        written(f"only_text/person_{person}/a.jpg", f"no image {person}".encode())(place)


def other_checkpoint(place: Path) -> None:
    """A run's folder whose checkpoint is of a larger network than its configuration says."""
    shutil.copytree(place / "runs/dsr", place / "runs/swapped")
    state = torch.load(place / "runs/swapped/last.pth", weights_only=True)
    large = {name: tensor for name, tensor in DSR("base").state_dict().items()}
    torch.save({**state, "model": large}, place / "runs/swapped/last.pth")
    path = place / "runs/swapped/config.json"
    path.write_text(path.read_text().replace('"epochs": 1,', '"epochs": 2,'))
