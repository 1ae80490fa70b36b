"""Every kind of text file that people write, saved as every system saves it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest

from dataset.formats.landmark_lists import is_landmark_list, read_any_landmarks
from dataset.formats.recordio_index import read_index as read_record_index
from dataset.formats.recordio_index import read_names as read_record_names
from dataset.formats.recordio_index import read_people
from dataset.photographs.intake import POINTS, read_landmarks
from dataset.photographs.layout import read_index
from dataset.photographs.pairs import read_pairs
from dataset.photographs.selection import read_names
from engine.cli import command
from engine.errors import UserError
from pipeline.evaluation.protocols import read_image_list, read_image_sets, read_pair_list
from pipeline.recognition.passphrase import read_passphrase
from pipeline.threshold_file import SCHEMA, ThresholdFile, read_threshold

KEYS, PERSON = ["Zoë/1", "Zoë/2", "Bo/1"], np.array([0, 0, 1])
COLUMNS = ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")
NUMBERS = "1,2,3,4,5,6,7,8,9,10"
THRESHOLD = ThresholdFile(0.5, {}, "far=1e-3", "Zoë", {}, {}, {}, {}, True)


@dataclass(frozen=True)
class Options:
    """Options."""

    name: str = ""
    names: list[str] = field(default_factory=list)


def options(path):
    seen = []
    main = command(Options, seen.append)
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(path)])
    if ended.value.code:
        raise UserError(path)
    return seen


def landmarks(path):
    assert is_landmark_list(path)
    return {name: points.tolist() for name, points in read_any_landmarks(path).items()}


def listed(path):
    (path.parent / "a.png").write_bytes(b"x")
    return read_index(path, path.parent)


WRITTEN = {
    "people.txt": (read_names, "Zoë\n\nBo\n"),
    "pairs.txt": (read_pairs, "1\t1\nZoë\t1\t2\nZoë\t1\tBo\t1\n"),
    "index.csv": (listed, "image,person,Ort\na.png,Zoë,Köln\n"),
    "marks.csv": (lambda path: sorted(read_landmarks(path)), f"image,{COLUMNS}\nZoë/1.png,{NUMBERS}\n"),
    "own.csv": (landmarks, f"file,{COLUMNS}\nZoë/1.png,{NUMBERS}\n"),
    "vggface2.csv": (landmarks, f"NAME_ID,P1X,P1Y,P2X,P2Y,P3X,P3Y,P4X,P4Y,P5X,P5Y\nZoë/1,{NUMBERS}\n"),
    "casia.txt": (landmarks, f"Zoë/1.png 0 {NUMBERS.replace(',', ' ')}\n"),
    "names.lst": (read_record_names, "0\t1.0\tZoë/1.png\n1\t2.0\tBo/1.png\n"),
    "faces.idx": (read_record_index, "0\t0\n1\t100\n"),
    "property": (read_people, "2,112,112\n"),
    "gallery.txt": (lambda path: read_image_list(path, KEYS, path.parent).tolist(), "Zoë/1.png\nBo/1\n"),
    "gallery.csv": (lambda path: read_image_list(path, KEYS, path.parent).tolist(), "Person,Image\nZoë,Zoë/2\n"),
    "sets.csv": (lambda path: read_image_sets(path, KEYS, PERSON, path.parent).names, "set,image\nZ,Zoë/2\n"),
    "pairs.csv": (
        lambda path: asdict(read_pair_list(path, KEYS, path.parent))["rows"].tolist(),
        "first,second,same\nZoë/1,Zoë/2,1\nZoë/1,Bo/1,0\n",
    ),
    "recipe.toml": (options, 'name = "Zoë"\nnames = [\n"Bo"\n]\n'),
    "recipe.json": (options, '{"name": "Zoë",\n"names": ["Bo"]}\n'),
    "threshold.json": (read_threshold, json.dumps({"schema": SCHEMA, **vars(THRESHOLD)}, ensure_ascii=False)),
    "passphrase.txt": (read_passphrase, "Zoë's word\n"),
}
SAVED = {
    "with a mark": lambda text: text.encode("utf-8-sig"),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "by Windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "by an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "with blank lines at the end": lambda text: (text + "\n \r\n\n").encode(),
    "without its last line end": lambda text: text.rstrip("\n").encode(),
}
TOLERANT = {"names.lst", "faces.idx", "property"}
"""Beside a .rec, which says what these say as well."""


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_file_says_does_not_depend_on_what_saved_it(tmp_path, name, saved):
    read, text = WRITTEN[name]
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    expected = read(tmp_path / name)
    (tmp_path / name).write_bytes(SAVED[saved](text))
    assert read(tmp_path / name) == expected and expected


@pytest.mark.parametrize("name", sorted(WRITTEN.keys() - TOLERANT))
def test_another_encoding_is_refused_in_one_line_that_names_the_file(tmp_path, name, capsys):
    read, text = WRITTEN[name]
    path: Path = tmp_path / name
    path.write_bytes(text.encode("cp1252"))
    with pytest.raises(UserError) as refused:
        read(path)
    said = capsys.readouterr().err or str(refused.value)
    assert str(path) in said and len(said.strip().splitlines()) == 1
    assert ", line " in said and "not UTF-8 text (byte 0xeb after" in said and "save the file as UTF-8" in said
