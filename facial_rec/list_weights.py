"""`python -m facial_rec list`: the EdgeFace variants and where their files are."""

from dataclasses import dataclass
from pathlib import Path

from engine.cli import command
from facial_rec.edgeface import ARCHITECTURES, skeleton
from facial_rec.hub import LICENCE, OFFICIAL
from facial_rec.sources import search_path

_SUFFIXES = (".pt", ".pth", ".safetensors", ".pt2")


@dataclass(frozen=True)
class ListConfig:
    """List the EdgeFace variants, their sizes, and the weights files found in the search path."""


def list_weights(config: ListConfig) -> None:
    """Print the table."""
    files = found_files()
    print(f"{'variant':<22} {'network':<18} {'parameters':>10}  {'hub':<26} found")
    for name, architecture in ARCHITECTURES.items():
        parameters = sum(parameter.numel() for parameter in skeleton(architecture).parameters())
        hub = OFFICIAL[name].repository if name in OFFICIAL else "-"
        here = ", ".join(path.as_posix() for path in files if path.stem.removesuffix("_q") == name) or "-"
        print(f"{name:<22} {architecture.network:<18} {parameters:>10,}  {hub:<26} {here}")
    others = [path for path in files if path.stem.removesuffix("_q") not in ARCHITECTURES]
    if others:
        print(f"other files: {', '.join(path.as_posix() for path in others)}")
    print(f"search path: {', '.join(folder.as_posix() for folder in search_path())}")
    print(f"Published weights: {LICENCE} (not for commercial use), fetched by: python -m facial_rec get NAME")


def found_files() -> list[Path]:
    """Return the files in the search path that carry a weights suffix; names only, none is opened."""
    return [
        path
        for folder in search_path()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix in _SUFFIXES and path.is_file()
    ]


main = command(ListConfig, list_weights, example="python -m facial_rec list")
if __name__ == "__main__":
    main()
