import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image


def test_the_wheel_asks_for_nothing_that_only_some_machines_can_run(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(text).name for text in project["dependencies"]]
    asked += [Requirement(text).name for texts in project["optional-dependencies"].values() for text in texts]
    assert "torch" in asked and not [name for name in asked if name.startswith(("nvidia-", "triton", "cuda-"))]


def test_the_lock_holds_one_version_of_what_torch_asks_for_twice(root: Path) -> None:
    packages = tomllib.loads((root / "poetry.lock").read_text(encoding="utf-8"))["package"]
    names = [package["name"] for package in packages]
    assert names.count("nvidia-cublas") == names.count("nvidia-cuda-nvrtc") == 1


NAMES = ("dataset", "dsr", "engine", "facial_rec", "metrics", "pipeline")


def run_beside(folder: Path, root: Path, names: Iterable[str], kind: str, *command: str) -> tuple[int, str]:
    """Run a command in a folder that has files, or packages, with names of ours; return its exit code and last line."""
    for name in names:
        path = folder / (f"{name}.py" if kind == "file" else f"{name}/__init__.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('another module of that name')")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    words = [sys.executable, "-m", *command]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("kind", "command", "said"),
    [
        ("file", ("dataset", "prepare", "nowhere"), "error: nowhere: no such folder; check the path"),
        ("package", ("dsr.upscale", "nowhere", "out"), "error: nowhere: no such file or folder"),
        ("file", ("facial_rec", "inspect", "nowhere"), "error: nowhere: not found in"),
        ("file", ("pipeline", "enroll", "people.gallery", "nowhere"), "error: nowhere: no such file or folder"),
        ("package", ("pipeline.enroll", "people.gallery", "nowhere"), "error: nowhere: no such file or folder"),
    ],
)
def test_other_modules_named_like_ours_in_the_working_directory_are_not_imported(
    tmp_path: Path, root: Path, kind: str, command: tuple[str, ...], said: str
) -> None:
    others = [name for name in NAMES if name != command[0].partition(".")[0]]
    code, line = run_beside(tmp_path, root, others, kind, *command)
    assert code == 2 and line.startswith(said)


def test_the_steps_of_a_chain_are_ours_in_a_folder_that_has_a_dataset_of_its_own(tmp_path: Path, root: Path) -> None:
    photo = tmp_path / "photos/only one/a.png"
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (112, 112)).save(photo)
    code, line = run_beside(tmp_path, root, ["dataset", "engine"], "file", "pipeline", "run", "photos")
    assert code == 2 and line.startswith("error: the step 'prepare") and "exit code 2" in line


def test_what_is_imported_by_others_leaves_their_path_alone(tmp_path: Path, root: Path) -> None:
    script = (
        "import sys; before = sys.path.copy(); import dataset, dsr, facial_rec, pipeline; assert sys.path == before"
    )
    words = [sys.executable, "-c", script]
    subprocess.run(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, check=True)


def test_every_package_that_is_run_puts_the_working_directory_last_in_the_same_words(root: Path) -> None:
    runnable = [path.parent for path in root.glob("*/__main__.py") if path.parent.name in NAMES]
    texts = [(folder / "__init__.py").read_text(encoding="utf-8").partition('"""\n')[2] for folder in runnable]
    assert len(texts) == 4 and len(set(texts)) == 1 and "sys.path.append(sys.path.pop(0))" in texts[0]
