"""Every command in a block of the README and of the guide runs, in its order, in an empty folder, on few faces."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.synthetic.people import synthetic_faces
from facial_rec.loading.sources import SYNTHETIC, find_weights

ROOT = Path(__file__).resolve().parent.parent
STAND_INS = {"FILE": "edgeface_xxs.pt", "IN": "edgeface_xxs.pt", "OUT": "out.safetensors", "UNKNOWN.jpg": "unknown.png"}
FEW_BATCHES = "--device cpu --epochs 1 --epoch-batches 2 --batch 8 --validation-faces 24 --rate 1e-6"
SMALLER = {
    "dataset synthesize": "--people 24 --photos 4 --split 50,25,25",
    "dsr.train_dsr": FEW_BATCHES,
    "facial_rec.finetune_edgeface": FEW_BATCHES,
    "pipeline.evaluate_dataset": "--device cpu --sizes 8,16 --bootstrap 10",
    "pipeline choose-threshold": "--sizes 8,16 --bootstrap 10",
    # Weights that were trained for two batches lose anything to a change of the last digit.
    "pipeline export": "--faces 20 --max-tar-drop 1",
}


def commands(page: Path) -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("python -m")]


def run(command: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run what follows `python -m`, smaller; return the exit code."""
    named = " ".join(command[:1] if "." in command[0] else command[:2])
    arguments = [STAND_INS.get(word, word) for word in command[1:]]
    monkeypatch.setattr(sys, "argv", [command[0], *arguments, *SMALLER.get(named, "").split()])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    return stopped.value.code


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_the_commands_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    shutil.copy(find_weights(SYNTHETIC), tmp_path / "edgeface_xxs.pt")
    person, photo = torch.arange(20).repeat_interleave(4), torch.arange(4).repeat(20)
    for row, face in enumerate(synthetic_faces(person, photo, seed=3).permute(0, 2, 3, 1).numpy()):
        folder = tmp_path / "PHOTOS" / f"person_{row // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(face)).save(folder / f"{row % 4}.png")
    Image.fromarray(np.ascontiguousarray(face)).save(tmp_path / "unknown.png")
    found = commands(ROOT / page)
    assert len(found) > 8
    for command in found:
        assert run(command, monkeypatch) == 0, f"python -m {' '.join(command)}\n{capfd.readouterr().err[-2000:]}"
