"""The page on the architecture names what is there, and its picture is drawn from today's imports."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest


def test_the_picture_is_that_of_the_imports(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("architecture", root / "docs" / "architecture.py")
    assert spec is not None and spec.loader is not None
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    drawn = (root / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == architecture.picture(), "draw it again: python docs/architecture.py"


def names(root: Path) -> list[str]:
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    return sorted(set(re.findall(r"`((?:engine|metrics|dataset|facial_rec|dsr|pipeline)(?:\.\w+)+)`", page)))


def test_every_name_of_the_page_exists(root: Path) -> None:
    found = names(root)
    assert len(found) > 25
    for name in found:
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                thing = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for attribute in parts[cut:]:
                assert hasattr(thing, attribute), f"docs/architecture.md names {name}, which is not there"
                thing = getattr(thing, attribute)
            break
        else:
            pytest.fail(f"docs/architecture.md names {name}, which is not there")
