"""`python -m facial_rec get`: fetch a published file from the model hub."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import command
from engine.files import atomic_path
from facial_rec.hub import HUB_SCHEME, LICENCE, OFFICIAL, address_of, fetch
from facial_rec.refusals import MismatchError
from facial_rec.sources import WEIGHTS_FOLDER
from facial_rec.weights import read_weights


@dataclass(frozen=True)
class GetConfig:
    """Fetch an EdgeFace from the model hub, check it, and put it where bare names are looked up."""

    name: Annotated[str, typer.Argument(help=f"{', '.join(OFFICIAL)}, or hf://owner/name[/file].")]
    out: Annotated[Path, typer.Option(help="Folder that receives the file.")] = WEIGHTS_FOLDER


def get_weights(config: GetConfig) -> None:
    """Fetch, check and place a file.

    Raises:
        WeightsError: The hub did not deliver it, it is refused, or another file has its name.
    """
    fetched = fetch(address_of(config.name))
    weights = read_weights(fetched, None if config.name.startswith(HUB_SCHEME) else config.name)
    target = config.out / fetched.name
    if target.exists() and read_weights(target).sha256 != weights.sha256:
        raise MismatchError(f"{target}: another file of that name; move it away first")
    with atomic_path(target) as temporary:
        shutil.copyfile(fetched, temporary)
    print(f"{target}: {weights.arch}, sha256 {weights.sha256}")
    if config.name in OFFICIAL:
        print(f"Licence: {LICENCE}, not for commercial use; cite arXiv 2307.01838")


main = command(GetConfig, get_weights, example="python -m facial_rec get edgeface_xxs")
if __name__ == "__main__":
    main()
