"""Take each check of the loader away in turn: some test must fail.

`python -m benchmarks.checks` runs the loader's tests once. Whenever a test makes a check fire, the test runs again with
that check alone taken away: an `if` that raises is skipped, each operand of an `or` in it counts as a check of its own,
and an exception that was to be translated passes through as it is. Prints the table of docs/loading-checks.md.
"""

import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

MODULES = ("facial_rec.embedding",) + tuple(
    f"facial_rec.loading.{name}"
    for name in (
        *("archives", "architecture", "backbone", "choice", "containers", "exported", "hub", "pickles", "programs"),
        *("selftest", "sources", "tensors", "torchscript", "weights"),
    )
)
TESTS = ("refusals", "weights", "wrapped_networks", "embedding", "commands", "checks")
_ROOT = Path(__file__).parents[1]


class Checks:
    """Knows every check, which of them fired, and the one that is taken away."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.fired: set[int] = set()
        self.without: int | None = None

    def fires(self, number: int, condition: object) -> object:
        """Stand for a check's condition."""
        if condition:
            self.fired.add(number)
        return condition if number != self.without else None


class _Instrument(ast.NodeTransformer):
    """Puts `Checks.fires` around the condition of every check of one module."""

    def __init__(self, module: str, labels: list[str]):
        self.module, self.labels, self.function = module, labels, ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # noqa: N802
        outer, self.function = self.function, node.name
        self.generic_visit(node)
        self.function = outer
        return node

    def visit_If(self, node: ast.If) -> ast.AST:  # noqa: N802
        if refusal := _refusal(node.body[-1]):
            if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or):
                node.test.values = [
                    self._fires(each, f"{refusal}, when {ast.unparse(each)}") for each in node.test.values
                ]
            else:
                node.test = self._fires(node.test, refusal)
            node.orelse = [self.visit(each) for each in node.orelse]
            return node
        self.generic_visit(node)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:  # noqa: N802
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is not None:
            test = self._fires(ast.Constant(True), f"{_refusal(last)}, in place of another error")
            node.body[-1] = ast.If(test, [last], [ast.Raise()])
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:  # noqa: N802
        return ast.If(self._fires(ast.Constant(True), _refusal(node)), [node], []) if node.exc else node

    def _fires(self, condition: ast.expr, label: str) -> ast.expr:
        self.labels.append(f"`{self.module}.{self.function}` | {label}")
        return ast.Call(ast.Name("__fires__", ast.Load()), [ast.Constant(len(self.labels) - 1), condition], [])


def _refusal(statement: ast.stmt) -> str:
    """Return the error and the beginning of its message where a statement refuses, else ""."""
    value = statement.exc if isinstance(statement, ast.Raise) else None
    if isinstance(statement, ast.Return):
        value = statement.value
    called = value.func if isinstance(value, ast.Call) else None
    if not isinstance(called, ast.Name) or not (isinstance(statement, ast.Raise) or called.id.endswith("Error")):
        return ""
    assert isinstance(value, ast.Call)
    message = ast.unparse(value.args[0]) if value.args else ""
    return f"{called.id}: {message.lstrip('f').strip(chr(39) + chr(34)).removeprefix('{path}: ')[:70]}"


class _Finder(importlib.abc.MetaPathFinder):
    """Imports the loader's modules with their checks instrumented."""

    def __init__(self, checks: Checks):
        self.checks = checks

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in MODULES:
            return None
        loader = _Loader(name, str(_ROOT.joinpath(*name.split(".")).with_suffix(".py")))
        loader.instrument = _Instrument(name.rpartition(".")[2], self.checks.labels)
        return importlib.util.spec_from_file_location(name, loader.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    instrument: _Instrument

    def get_code(self, fullname: str) -> types.CodeType:
        tree = self.instrument.visit(ast.parse(Path(self.path).read_text(encoding="utf-8")))
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Above:
    """A next test for which everything is kept but what belongs to this test alone."""

    def __init__(self, item: pytest.Item):
        self.item = item

    def listchain(self) -> list[object]:
        return [*self.item.listchain()[:-1]]


class EachCheck:
    """Runs each test again without the checks that it made fire, until a test has failed for each."""

    def __init__(self, checks: Checks):
        self.checks = checks
        self.needed: dict[int, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one test, then again without each check that fired."""
        self.checks.fired.clear()
        if _passes(item):
            for number in sorted(self.checks.fired - self.needed.keys()):
                self.checks.without = number
                if not _passes(item):
                    self.needed[number] = item.name
                self.checks.without = None
        else:
            print(f"fails as it is: {item.nodeid}")
        item.session._setupstate.teardown_exact(nextitem)
        return True


def _passes(item: pytest.Item) -> bool:
    item._initrequest()  # type: ignore[attr-defined]
    reports = runtestprotocol(item, log=False, nextitem=_Above(item))  # type: ignore[arg-type]
    return all(not report.failed for report in reports)


def main() -> int:
    """Print the table; the exit code is 1 where a check is needed by no test."""
    checks = Checks()
    builtins.__fires__ = checks.fires  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder(checks))
    warnings.simplefilter("ignore")
    plugin = EachCheck(checks)
    tests = [str(_ROOT / "tests" / "facial_rec" / f"test_{name}.py") for name in TESTS]
    options = ["-n", "0", "-q", "-m", "not slow and not gpu", "-p", "no:cacheprovider", "-o", "timeout=0"]
    pytest.main([*options, *tests], plugins=[plugin])
    print("| where | check | test that fails without it |\n| --- | --- | --- |")
    for number, label in enumerate(checks.labels):
        print(f"| {label.replace('||', 'or')} | {plugin.needed.get(number, '**none**')} |")
    print(f"\n{len(plugin.needed)} of {len(checks.labels)} checks are needed by a test")
    return int(len(plugin.needed) < len(checks.labels))


if __name__ == "__main__":
    sys.exit(main())
