"""The floors: engine <- metrics, dataset <- facial_rec <- dsr <- pipeline; entry points stand above all of them."""

import ast
from pathlib import Path

import pytest

FLOORS = [["engine"], ["metrics", "dataset"], ["facial_rec"], ["dsr"], ["pipeline"]]
LAYERS = [package for floor in FLOORS for package in floor]
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}


def modules(root: Path) -> list[Path]:
    return [path for layer in LAYERS for path in sorted((root / layer).rglob("*.py"))]


def is_entry_point(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return path.name == "__main__.py" or "main" in names


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def offences(path: Path, root: Path, entry_points: set[str]) -> list[str]:
    own = path.relative_to(root).parts[0]
    wrong = []
    for name in sorted(imports(path)):
        other = name.split(".")[0]
        if name in entry_points:
            wrong.append(
                f"{path.relative_to(root)} imports the entry point {name}: what both need belongs in a library"
            )
        elif other in FLOOR and other != own and FLOOR[other] >= FLOOR[own] and not is_entry_point(path):
            wrong.append(f"{path.relative_to(root)} imports {name}, so it belongs in {' or '.join(homes(path))}")
    return wrong


def homes(path: Path) -> list[str]:
    """Return the packages in which a module may stand: on the lowest floor that sees all that it imports."""
    packages = {name.split(".")[0] for name in imports(path)} & FLOOR.keys()
    highest = max(FLOOR[package] for package in packages)
    below = [package for package in packages if FLOOR[package] == highest]
    return below if len(below) == 1 else FLOORS[highest + 1]


def test_no_module_imports_an_entry_point_or_a_layer_above_its_own(root: Path) -> None:
    paths = modules(root)
    entry_points = {
        ".".join(path.relative_to(root).with_suffix("").parts) for path in paths if is_entry_point(path)
    } - {"engine.cli"}
    assert len(paths) > 20
    assert [line for path in paths for line in offences(path, root, entry_points)] == []


def test_a_layer_violation_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    bad = tmp_path / "engine" / "bad.py"
    bad.write_text("from dsr.network import DSR\n")
    assert offences(bad, tmp_path, {"dsr.network"})
    assert offences(bad, tmp_path, set())[-1].endswith("imports dsr.network.DSR, so it belongs in dsr")


def test_packages_of_one_floor_do_not_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    bad = tmp_path / "metrics" / "bad.py"
    bad.write_text("import dataset.store\nimport metrics.folds\n")
    line = "metrics/bad.py imports dataset.store, so it belongs in facial_rec"
    assert offences(bad, tmp_path, set()) == [line]


@pytest.mark.parametrize("word", ["weights_only=False", "strict=False"])
def test_nothing_loads_unsafely_or_partially(root: Path, word: str) -> None:
    assert [path for path in modules(root) if word in path.read_text(encoding="utf-8").replace(" ", "")] == []
