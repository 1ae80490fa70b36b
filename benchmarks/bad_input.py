"""Bad input, from the shell: what every command says to it, what it exits with, and that nothing is lost.

Run `python -m benchmarks.bad_input [WORD ...]`: with words, only the cases whose input has one of them, on the
screen; without, all of them, into docs/bad-input.md. It exits with 1 where a command does not keep its promise: one
line, the exit code of the case, and every earlier file as it was.
"""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dataset.synthetic.people import synthetic_faces
from engine.files import write_text
from facial_rec.networks.edgeface import build

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "bad-input.md"
PREPARE = "python -m dataset prepare"
TRAIN = "python -m dsr.train_dsr --preset small --batch 4 --feature 0"
TUNE = "python -m facial_rec.finetune_edgeface --batch 4 --dsr default"
EVALUATE = "python -m pipeline.evaluate_dataset --sizes 8 --bootstrap 0 --no-plots --finetuned none"
MOUNTING = ("unshare", "--user", "--map-root-user", "--mount")
SMALL_DISK = "mkdir -p full && mount -t tmpfs -o size={size} tmpfs full && exec {command}"
INTRODUCTION = """# Bad input

What the commands say to input that cannot work, or looks as if it could not; made by `python -m benchmarks.bad_input`
on synthetic faces and random weights, which fails where a command says more than one line, exits with another code, or
changes a file that was there before. Exit codes: 0 done, 1 some files were passed over, 2 a mistake to mend, 3 a gate
that a run violated, 130 interrupted.
"""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        what: The input, in words.
        command: What is typed, in a folder with `photos/`, `dataset/`, `edgeface_xxs.pt` and a run in `runs/dsr`.
        make: Makes the input in that folder.
        code: The exit code that is right.
        interrupts: How many times Ctrl-C is pressed once the training has saved.
        disk: Size of the disk that stands in `full/`, e.g. "2m".
    """

    what: str
    command: str
    make: Callable[[Path], object] = lambda place: None
    code: int = 2
    interrupts: int = 0
    disk: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    said: list[str]
    """Its error lines, else the last line that it printed."""
    lost: list[str]
    """Earlier files that are gone or changed."""


def kept_promise(case: Case, outcome: Outcome) -> bool:
    """Whether a command said one line, exited with the right code and lost nothing."""
    return outcome.code == case.code and len(outcome.said) == 1 and not outcome.lost


def try_case(case: Case, place: Path) -> Outcome:
    """Make the input and run the command."""
    case.make(place)
    before = _digests(place)
    words = [sys.executable if word == "python" else word for word in shlex.split(case.command)]
    if case.disk:
        script = SMALL_DISK.format(size=case.disk, command=shlex.join(words))
        words = [*MOUNTING, "sh", "-c", script]
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    with subprocess.Popen(
        words,
        cwd=place,
        env=os.environ | quiet,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        if case.interrupts:
            printed = _interrupted(process, place / words[-1], case.interrupts)
        else:
            printed = process.communicate()[0]
    after = _digests(place)
    return Outcome(process.returncode, _said(printed), [name for name in before if before[name] != after.get(name)])


def _interrupted(process: "subprocess.Popen[str]", run: Path, times: int) -> str:
    """Press Ctrl-C once the training has saved in its folder, and again as soon as it has said that it is stopping."""
    while process.poll() is None and not (run / "last.pth").is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if times > 1 and "Ctrl-C again" in line:
            process.send_signal(signal.SIGINT)
    process.wait()
    return printed


def _said(printed: str) -> list[str]:
    """Return the lines that a user reads last: all errors, else the last line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", printed) if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "Traceback")) or "Error:" in line]
    return errors or lines[-1:]


def _digests(place: Path) -> dict[str, str]:
    """Return the files that a user would miss: not locks, not what a command keeps to be quicker."""
    files = (path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def workshop(place: Path) -> None:
    """Make photographs, a data set, weights and a finished run, as a user has them."""
    people = torch.arange(8).repeat_interleave(4)
    faces = synthetic_faces(people, torch.arange(4).repeat(8), seed=0).permute(0, 2, 3, 1).numpy()
    for row, (person, face) in enumerate(zip(people.tolist(), faces, strict=True)):
        _save(place / f"photos/person_{person}/{row % 4}.png", face)
    torch.manual_seed(0)
    torch.save(build("edgeface_xxs").state_dict(), place / "edgeface_xxs.pt")
    for command in (f"{PREPARE} photos --vlr-sizes 8 --split 50,25,25", f"{TRAIN} --epochs 1"):
        outcome = try_case(Case("", command, code=0), place)
        if outcome.code:
            raise RuntimeError(f"{command}: {outcome.said}")


def _save(path: Path, face: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face).save(path)


def _write(name: str, data: bytes) -> Callable[[Path], object]:
    def make(place: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)

    return make


def _copy(source: str, target: str, people: Iterable[int] | None = None, each: int = 4) -> Callable[[Path], object]:
    """Copy some photographs of some people."""

    def make(place: Path) -> None:
        for person in range(8) if people is None else people:
            for number in range(each):
                target_path = place / target / f"person_{person}/{number}.png"
                target_path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(place / source / f"person_{person}/{number}.png", target_path)

    return make


def _with(name: str, add: Callable[[Path, Path], object]) -> Callable[[Path], object]:
    """Copy the photographs and add to person 0: `add(folder of the person, a good image)`."""

    def make(place: Path) -> None:
        _copy("photos", name)(place)
        folder = place / name / "person_0"
        add(folder, folder / "0.png")

    return make


def _half(source: str, target: str) -> Callable[[Path], object]:
    def make(place: Path) -> None:
        data = (place / source).read_bytes()
        (place / target).write_bytes(data[: len(data) // 2])

    return make


def _weights(name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        torch.save(change(torch.load(place / "edgeface_xxs.pt", weights_only=True)), place / name)

    return make


def _lacking(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(state.items())[:-4])


def _other_network(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(1000, 512)}


def _orphan(place: Path) -> None:
    shutil.copytree(place / "dataset/test_processed", place / "orphan")
    small = next((place / "orphan/vlr_images").rglob("*.png"))
    shutil.copy(small, small.with_name("nobody.png"))


def _lone_split(place: Path) -> None:
    face = next((place / "photos").rglob("*.png"))
    for number in range(3):
        target = place / f"lone/hr_images/anna/{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(face, target)


def _one_each(place: Path) -> None:
    for person in range(3):
        target = place / f"one_each/hr_images/person_{person}/0.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / f"photos/person_{person}/0.png", target)


def _keep_one(folder: Path, good: Path) -> None:
    for path in folder.glob("*"):
        if path != good:
            path.unlink()


def _strange_images(folder: Path, good: Path) -> None:
    """Valid images of rare kinds, none of which is like another."""
    face = Image.open(good)
    grey = np.asarray(face.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "sixteen_bits.png")
    face.convert("CMYK").rotate(3).save(folder / "cmyk.jpg")
    face.rotate(5).save(folder / "animated.gif", save_all=True, append_images=[face.rotate(9)])
    turned = Image.Exif()
    turned[0x0112] = 6
    face.rotate(90).save(folder / "turned.jpg", exif=turned)


def _damaged_images(folder: Path, good: Path) -> None:
    (folder / "empty.png").write_bytes(b"")
    (folder / "half.png").write_bytes(good.read_bytes()[:4000])
    (folder / "text.jpg").write_text("no image")
    Image.new("RGB", (1, 1)).save(folder / "one_pixel.png")
    Image.new("RGB", (8000, 6250)).save(folder / "fifty_megapixels.png")
    Image.new("L", (10000, 10000)).save(folder / "hundred_megapixels.png")
    shutil.copy(good, folder / "copy.png")


def _only_text(place: Path) -> None:
    for person in range(6):
        _write(f"only_text/person_{person}/a.jpg", f"no image {person}".encode())(place)


def _other_checkpoint(place: Path) -> None:
    """A run's folder whose checkpoint is of a larger network than its configuration says."""
    from dsr.network import DSR

    shutil.copytree(place / "runs/dsr", place / "runs/swapped")
    state = torch.load(place / "runs/swapped/last.pth", weights_only=True)
    large = {name: tensor for name, tensor in DSR("base").state_dict().items()}
    torch.save({**state, "model": large}, place / "runs/swapped/last.pth")
    path = place / "runs/swapped/config.json"
    path.write_text(path.read_text().replace('"epochs": 1,', '"epochs": 2,'))


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69\nsize 12345\n"
CODE = b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch owned\x85R."

CASES = [
    Case("a folder of photographs that is missing", f"{PREPARE} nowhere --out new"),
    Case("a folder without images", f"{PREPARE} nothing --out new", lambda place: (place / "nothing").mkdir()),
    Case("a file that is no folder and no index", f"{PREPARE} edgeface_xxs.pt --out new"),
    Case("images without people", f"{PREPARE} photos/person_0 --out new"),
    Case("one person", f"{PREPARE} one --out new", _copy("photos", "one", [0])),
    Case("people too few for three splits", f"{PREPARE} few --out new", _copy("photos", "few", [0, 1, 2, 3])),
    Case("shares that leave nobody to train", f"{PREPARE} photos --out new --split 0,50,50"),
    Case(
        "a person with one image",
        f"{PREPARE} single --out single_out",
        _with("single", _keep_one),
        code=0,
    ),
    Case(
        "16-bit, CMYK, animated and EXIF-rotated images",
        f"{PREPARE} strange --out strange_out",
        _with("strange", _strange_images),
        code=0,
    ),
    Case(
        "zero-byte, truncated, text, 1-pixel, 50- and 100-megapixel images and a copy, among good ones",
        f"{PREPARE} damaged --out damaged_out",
        _with("damaged", _damaged_images),
        code=0,
    ),
    Case("images of which none can be read", f"{PREPARE} only_text --out new", _only_text),
    Case("a data set made with other settings", f"{PREPARE} photos --vlr-sizes 8 --split 50,25,25 --seed 1"),
    Case("a landmark list that is missing", f"{PREPARE} photos --out new --landmarks points.csv"),
    Case("an upscale of a text file", "python -m dsr.upscale note.png out", _write("note.png", b"hello"), code=1),
    Case("an upscale over files that are there", "python -m dsr.upscale photos/person_0 photos/person_0"),
    Case("no data set yet", f"{TRAIN} --dataset elsewhere --out runs/new"),
    Case("a split that is missing", f"{EVALUATE} --dataset-root dataset/nothing_processed"),
    Case("a VLR image without its HR", f"{EVALUATE} --dataset-root orphan", _orphan),
    Case("a split with one person", f"{EVALUATE} --dataset-root lone", _lone_split),
    Case(
        "a split of people with one image each",
        f"{EVALUATE} --dataset-root one_each --out new",
        _one_each,
    ),
    Case("weights that are missing", f"{TRAIN} --edgeface nothing.pt --out runs/new"),
    Case("weights that are text", f"{TRAIN} --edgeface text.pt --out runs/new", _write("text.pt", b"hello\n")),
    Case("weights that are a Git LFS pointer", f"{TUNE} --edgeface lfs.pt --out runs/new", _write("lfs.pt", POINTER)),
    Case("half of a weights file", f"{EVALUATE} --edgeface half.pt --out new", _half("edgeface_xxs.pt", "half.pt")),
    Case(
        "weights of another network",
        f"{TRAIN} --edgeface resnet.pt --out runs/new",
        _weights("resnet.pt", _other_network),
    ),
    Case(
        "weights that lack tensors",
        f"{TUNE} --edgeface lacking.pt --out runs/new",
        _weights("lacking.pt", _lacking),
    ),
    Case("a pickle that would run a program", f"{EVALUATE} --edgeface code.pt --out new", _write("code.pt", CODE)),
    Case("a super-resolver that is EdgeFace", f"{EVALUATE} --dsr edgeface_xxs.pt --out new"),
    Case("--threshold 2", f"{EVALUATE} --threshold 2 --out new"),
    Case("--threshold high", f"{EVALUATE} --threshold high --out new"),
    Case("--sizes 3", f"{EVALUATE} --sizes 3 --out new"),
    Case("--epochs 0", f"{TRAIN} --epochs 0 --out runs/new"),
    Case("--epochs 0", f"{TUNE} --epochs 0 --out runs/new"),
    Case("a flag with a slip", f"{TRAIN} --epoch 3 --out runs/new"),
    Case("cuda where there is none", f"{TRAIN} --device cuda --out runs/new"),
    Case("cuda where there is none", f"{TUNE} --device cuda --out runs/new"),
    Case("cuda where there is none", f"{EVALUATE} --device cuda --out new"),
    Case(
        "fine-tuning before a super-resolver is there",
        "python -m facial_rec.finetune_edgeface --dsr runs/none/best.pth",
    ),
    Case("a run with another configuration", f"{TRAIN} --epochs 1 --rate 0.5"),
    Case(
        "a resume with another architecture", "python -m dsr.train_dsr --preset base --batch 4 --feature 0 --epochs 1"
    ),
    Case("a checkpoint of another architecture", f"{TRAIN} --epochs 2 --out runs/swapped", _other_checkpoint),
    Case("a full disk, training", f"{TRAIN} --epochs 2 --out full/run", disk="2m"),
    Case("a full disk, preparing", f"{PREPARE} photos --out full/dataset", disk="200k"),
    Case("a full disk, evaluating", f"{EVALUATE} --out full/report --cache full/cache", disk="100k"),
    Case("Ctrl-C", f"{TRAIN} --epochs 9999 --save-every 1 --out runs/stopped", code=130, interrupts=1),
    Case("Ctrl-C twice", f"{TRAIN} --epochs 9999 --save-every 1 --out runs/stopped_twice", code=130, interrupts=2),
    Case("a whole chain on a missing folder", "python -m pipeline run nowhere"),
]


def main(words: list[str]) -> int:
    """Try the cases; return 1 where one did not go as it should."""
    outcomes = try_cases([case for case in CASES if not words or any(word in case.what for word in words)])
    bad = [(case, outcome) for case, outcome in outcomes if not kept_promise(case, outcome)]
    print("\n".join(table(outcomes)))
    for case, outcome in bad:
        print(f"\nNOT AS PROMISED: {case.what}: {outcome}")
    if not words and not bad:
        write_text(PAGE, "\n".join([INTRODUCTION, *table(outcomes), ""]))
    return 1 if bad else 0


def try_cases(cases: list[Case]) -> list[tuple[Case, Outcome]]:
    """Try cases in one temporary folder; those that need a small disk only where Linux lets a user mount one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command started in the background would ignore it
    mounts = shutil.which("unshare") and not subprocess.run([*MOUNTING, "true"], check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        workshop(place)
        possible = [case for case in cases if mounts or not case.disk]
        return [(case, try_case(case, place)) for case in tqdm(possible, unit="case", leave=False)]


def table(outcomes: list[tuple[Case, Outcome]]) -> list[str]:
    """Return the lines of a Markdown table of what the commands said."""
    rows = ["| input | command | what it says | exit code |", "| --- | --- | --- | --- |"]
    for case, outcome in outcomes:
        said = " / ".join(outcome.said).replace("|", "\\|").replace("<", "&lt;").replace(str(ROOT), ".")
        said = re.sub(r"\.staging-\w+", ".staging-...", said)
        said = re.sub(r"\b[0-9a-f]{32}\b", "...", said)  # what is cached is named by its hash
        rows.append(f"| {case.what} | `{case.command}` | {said} | {outcome.code} |")
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
