"""`python -m facial_rec get`: fetch a published file from the model hub."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import command
from engine.files import atomic_path, sha256_of
from facial_rec.loading.hub import HUB_SCHEME, LICENCE, OFFICIAL, fetch, fetch_official
from facial_rec.loading.refusals import MismatchError
from facial_rec.loading.sources import WEIGHTS_FOLDER
from facial_rec.loading.weights import read_weights


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
    official = OFFICIAL.get(config.name)
    if official and (config.out / official.file).is_file():
        _say_whether_there(config.out / official.file, official.sha256)
        return
    is_address = config.name.startswith(HUB_SCHEME)
    fetched = fetch(config.name) if is_address else fetch_official(config.name)
    weights = read_weights(fetched, None if is_address else config.name)
    target = config.out / fetched.name
    if target.exists():
        _say_whether_there(target, weights.sha256)
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(fetched, temporary)
    print(f"{target}: {weights.arch}, sha256 {weights.sha256}")
    if weights.official:
        print(f"Licence: {LICENCE}, not for commercial use; cite arXiv 2307.01838")


def _say_whether_there(target: Path, sha256: str) -> None:
    if sha256_of(target) != sha256:
        raise MismatchError(f"{target}: another file of that name; move it away, or give another folder with --out")
    print(f"{target}: there already, sha256 {sha256}")


main = command(GetConfig, get_weights, example="python -m facial_rec get edgeface_xxs")
if __name__ == "__main__":
    main()
