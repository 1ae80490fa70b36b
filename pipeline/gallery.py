"""Look after a gallery: list who is in it, remove somebody, take the records out."""

from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.cli import command
from engine.errors import UserError
from engine.files import write_json
from pipeline.recognition.gallery_store import Gallery
from pipeline.recognition.passphrase import read_passphrase


class GalleryCommandError(UserError):
    """An action without what it needs."""


@dataclass(frozen=True)
class GalleryConfig:
    """List, remove or export the people of a gallery."""

    action: Annotated[Literal["list", "remove", "export"], typer.Argument(help="What to do.")]
    gallery: Annotated[Path, typer.Argument(help="Gallery file.")]
    name: Annotated[str | None, typer.Option(help="Person to remove.")] = None
    out: Annotated[Path | None, typer.Option(help="JSON file that receives the records.")] = None
    templates: Annotated[bool, typer.Option("--templates", help="Export the templates as well, unencrypted.")] = False
    passphrase_file: Annotated[Path | None, typer.Option(help="For encrypted templates; its first line.")] = None


def gallery(config: GalleryConfig) -> None:
    """Do what `action` says."""
    with Gallery.open(config.gallery, passphrase=read_passphrase(config.passphrase_file)) as opened:
        _ACTIONS[config.action](config, opened)


def _list(config: GalleryConfig, opened: Gallery) -> None:
    records = opened.enrolments()
    people = [(person, list(group)) for person, group in groupby(records, key=lambda record: record.person)]
    for person, own in people:
        sizes = sorted(record.size_px for record in own)
        print(f"{person}: {len(own)} photographs, faces of {sizes[0]} to {sizes[-1]} px, last {own[-1].added}")
    print(
        f"{len(people)} people, {len(records)} photographs; threshold {opened.threshold:.3f}, model {opened.model[:12]}"
    )


def _remove(config: GalleryConfig, opened: Gallery) -> None:
    if config.name is None:
        raise GalleryCommandError("gallery remove: whom? give --name, as gallery list prints it")
    print(f"{config.name}: {opened.remove(config.name)} photographs removed and overwritten")


def _export(config: GalleryConfig, opened: Gallery) -> None:
    if config.out is None:
        raise GalleryCommandError("gallery export: where to? give --out FILE.json")
    content = {
        "model": opened.model,
        "threshold": opened.threshold,
        "photographs": [asdict(record) for record in opened.enrolments()],
    }
    if config.templates:
        people, templates = opened.templates()
        content["templates"] = {person: row.tolist() for person, row in zip(people, templates, strict=True)}
    write_json(config.out, content, private=config.templates)
    print(f"wrote {config.out}")


_ACTIONS = {"list": _list, "remove": _remove, "export": _export}

main = command(GalleryConfig, gallery, example="python -m pipeline gallery list people.gallery")
if __name__ == "__main__":
    main()
