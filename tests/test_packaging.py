import tomllib
from pathlib import Path

from packaging.requirements import Requirement


def test_the_wheel_asks_for_nothing_that_only_some_machines_can_run(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(text).name for text in project["dependencies"]]
    asked += [Requirement(text).name for texts in project["optional-dependencies"].values() for text in texts]
    assert "torch" in asked and not [name for name in asked if name.startswith(("nvidia-", "triton", "cuda-"))]


def test_the_lock_holds_one_version_of_what_torch_asks_for_twice(root: Path) -> None:
    packages = tomllib.loads((root / "poetry.lock").read_text(encoding="utf-8"))["package"]
    names = [package["name"] for package in packages]
    assert names.count("nvidia-cublas") == names.count("nvidia-cuda-nvrtc") == 1
