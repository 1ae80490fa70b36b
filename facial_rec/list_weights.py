"""`python -m facial_rec list`: the EdgeFace variants and where their files are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import command
from facial_rec.loading.hub import LICENCE, OFFICIAL
from facial_rec.loading.sources import WEIGHTS_SUFFIXES, search_path
from facial_rec.networks.edgeface import ARCHITECTURES, skeleton


@dataclass(frozen=True)
class ListConfig:
    """List the EdgeFace variants, their sizes, and the weights files found in the search path.

    Files are found by their names and not opened; `inspect` says what one really is.
    """

    json: Annotated[bool, typer.Option(help="Print JSON.")] = False


def list_weights(config: ListConfig) -> None:
    """Print the table."""
    variants, others = describe_variants(found_files())
    folders = [folder.resolve().as_posix() for folder in search_path()]
    if config.json:
        print(json.dumps({"variants": variants, "other_files": others, "search_path": folders}, indent=2))
        return
    print(f"{'variant':<22}{'network':<18}{'parameters':>11}{'float32':>10}  {'published at':<25}found")
    for variant in variants:
        size = f"{4e-6 * variant['parameters']:.1f} MB"
        found = ", ".join(variant["found"]) or "-"
        print(
            f"{variant['variant']:<22}{variant['network']:<18}{variant['parameters']:>11,}{size:>10}  "
            f"{variant['published'] or '-':<25}{found}"
        )
    if others:
        print(f"other files: {', '.join(others)}")
    print(f"search path: {', '.join(folders)}")
    print(f"Published weights: {LICENCE} (not for commercial use), fetched by: python -m facial_rec get VARIANT")


def describe_variants(files: list[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is known of every variant, and the files whose names are none's."""
    variants = []
    for name, architecture in ARCHITECTURES.items():
        published = OFFICIAL.get(name)
        variants.append(
            {
                "variant": name,
                "network": architecture.network,
                "rank_ratio": architecture.rank_ratio,
                "parameters": sum(parameter.numel() for parameter in skeleton(architecture).parameters()),
                "published": published.repository if published else None,
                "sha256": published.sha256 if published else None,
                "licence": LICENCE if published else None,
                "found": [path.as_posix() for path in files if path.stem.removesuffix("_q") == name],
            }
        )
    return variants, [path.as_posix() for path in files if path.stem.removesuffix("_q") not in ARCHITECTURES]


def found_files() -> list[Path]:
    """Return the files in the search path that carry a weights suffix; names only, none is opened."""
    return [
        path
        for folder in search_path()
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix in WEIGHTS_SUFFIXES and path.is_file()
    ]


main = command(ListConfig, list_weights, example="python -m facial_rec list")
if __name__ == "__main__":
    main()
