"""Draws `images/architecture.svg` from the imports of the source: `python docs/architecture.py`.

Floors stand above what they import; a pale box is a folder, bold names are commands. Arrows are imports between
packages by modules that are no commands: each of them points down.
"""

import ast
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
TINTS = {  # from the top down
    "pipeline": "#e8def8",
    "dsr": "#fde2cf",
    "facial_rec": "#d7e8fb",
    "dataset": "#daf1dc",
    "metrics": "#fdf0c4",
    "engine": "#e6e6e6",
}
WIDTH, MARGIN, GAP, LINE, LETTER, BOLD = 1180, 20, 18, 17, 6.8, 7.8
"""In pixels; a letter's width is the mean of a sans-serif of 12 px, a bold one's likewise."""
LANES = 150
"""Width of the strip on the right in which the arrows run."""
COMMAND = ' font-weight="700" fill="#111"'


@dataclass(frozen=True)
class Box:
    """A package as it is drawn."""

    package: str
    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width


def modules_of(package: str) -> dict[str, list[tuple[str, bool]]]:
    """Return (name, whether it is a command) of each module, by folder; "" is the package's own."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.stem not in ("__init__", "__main__"):
            folder = path.parent.relative_to(ROOT / package).as_posix().removeprefix(".")
            found.setdefault(folder, []).append((path.stem, is_command(path)))
    return found


def is_command(path: Path) -> bool:
    """Whether a module defines `main` for the shell."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return path.name == "__main__.py" or any(isinstance(each, ast.Name) and each.id == "main" for each in targets)


def imported_packages(package: str) -> set[str]:
    """Return the packages that a package's modules import, commands left out."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        if is_command(path):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return (found & TINTS.keys()) - {package}


def wrapped(modules: list[tuple[str, bool]], width: float) -> list[list[tuple[str, bool]]]:
    """Break names into lines no wider than so many pixels."""
    lines: list[list[tuple[str, bool]]] = [[]]
    used = 0.0
    for name, command in modules:
        needed = len(name) * (BOLD if command else LETTER) + 2 * LETTER
        if used + needed > width and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append((name, command))
        used += needed
    return lines


def draw_package(package: str, left: float, top: float, width: float) -> tuple[Box, list[str]]:
    """Return a package's box and its marks."""
    marks: list[str] = []
    y = top + 26
    for folder, modules in sorted(modules_of(package).items()):
        inner = width - 24 - (16 if folder else 0)
        lines = wrapped(modules, inner - (len(folder) + 2) * BOLD if folder else inner)
        height = LINE * len(lines) + (10 if folder else 4)
        x = left + 12
        if folder:
            area = f'x="{x}" y="{y:g}" width="{width - 24}" height="{height}"'
            marks.append(f'<rect {area} rx="5" fill="#fff" fill-opacity=".62"/>')
            marks.append(f'<text x="{x + 8}" y="{y + 17:g}" font-weight="600" fill="#444">{escape(folder)}</text>')
            x += 8 + (len(folder) + 2) * BOLD
        for number, line in enumerate(lines):
            names = "".join(
                f'<tspan dx="{0 if first else 2 * LETTER:g}"{COMMAND if command else ""}>{escape(name)}</tspan>'
                for first, (name, command) in zip([True] + [False] * len(line), line, strict=False)
            )
            marks.append(f'<text x="{x:g}" y="{y + (17 if folder else 12) + LINE * number:g}">{names}</text>')
        y += height + 6
    box = Box(package, left, top, width, y + 4 - top)
    frame = [
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{box.height:g}" rx="8" fill="{TINTS[package]}"/>',
        f'<text x="{left + 12:g}" y="{top + 19:g}" font-size="15" font-weight="700">{package}</text>',
    ]
    return box, frame + marks


def draw_arrow(lane: int, leaves: Box, arrives: Box, used: Counter[str]) -> str:
    """Return an arrow down the strip on the right, in a lane of its own; `used` counts the arrows at each package."""
    x = WIDTH - LANES + 12 + lane * 9
    from_y, to_y = (box.top + 10 + 8 * used[box.package] for box in (leaves, arrives))
    used.update([leaves.package, arrives.package])
    return (
        f'<path d="M{leaves.right:g} {from_y:g}H{x}V{to_y:g}H{arrives.right + 2:g}" fill="none" stroke="#667" '
        f'stroke-width="1.2" marker-end="url(#tip)"/>'
    )


def picture() -> str:
    """Return the SVG."""
    boxes: dict[str, Box] = {}
    marks: list[str] = []
    y = float(MARGIN)
    for package in TINTS:
        boxes[package], drawn = draw_package(package, MARGIN, y, WIDTH - LANES - MARGIN)
        marks += drawn
        y += boxes[package].height + GAP
    pairs = [(top, low) for top in TINTS for low in TINTS if low in imported_packages(top)]
    used: Counter[str] = Counter()
    arrows = [
        draw_arrow(lane, boxes[top], boxes[low], used)
        for lane, (top, low) in zip(reversed(range(len(pairs))), pairs, strict=True)
    ]
    size = f"{WIDTH} {y + 16:g}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="12" fill="#333">\n<title>Packages, folders and modules; arrows point at what is imported</title>'
        '\n<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
        '<path d="M0 0L7 3L0 6z" fill="#667"/></marker></defs>\n<rect width="100%" height="100%" fill="#fff"/>'
    )
    foot = f'<text x="{MARGIN}" y="{y + 2:g}" fill="#555">Bold: commands. Arrows: imports.</text>\n</svg>\n'
    return "\n".join([head, *marks, *arrows, foot])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
