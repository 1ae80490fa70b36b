"""Make a data set of procedural faces, split and packed like one of photographs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from dataset.photographs.assembly import SplitWriter, is_prepared, parse_sizes, publish, refuse_file, staging
from dataset.photographs.layout import SPLITS, split_folder
from dataset.photographs.splits import assign, parse_shares
from dataset.synthetic.people import synthetic_faces
from dataset.synthetic.record import person_name
from engine.cli import command
from engine.runlog import progress_bar

_BATCH = 64
_VERSION = 1
"""Changes when the same seed draws other faces."""


@dataclass(frozen=True)
class SynthesizeConfig:
    """Draw synthetic people, photograph them, and write train, val and test splits by person.

    The faces are procedural: no photograph of anybody went into them. The same seed gives the same faces.
    """

    out: Annotated[Path, typer.Option(help="Folder that receives the splits.")] = Path("dataset")
    people: Annotated[int, typer.Option(min=2, max=1_000_000, help="Number of people.")] = 300
    photos: Annotated[int, typer.Option(min=1, max=10_000, help="Photographs of each person.")] = 10
    seed: Annotated[int, typer.Option(min=0, max=2**30, help="Seed of people, photographs and split.")] = 0
    split: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "80,10,10"
    vlr_sizes: Annotated[str, typer.Option(help="Sizes in pixels of the low-resolution copies, or none.")] = (
        "8,12,16,24,32"
    )
    overwrite: Annotated[bool, typer.Option(help="Replace splits that are already there.")] = False


def synthesize(config: SynthesizeConfig) -> None:
    """Write the data set that `config` describes."""
    refuse_file(config.out)
    sizes_px = parse_sizes(config.vlr_sizes)
    made_of = {
        "synthetic": _VERSION,
        "people": config.people,
        "photos": config.photos,
        "seed": config.seed,
        "split": parse_shares(config.split),
        "vlr_sizes": sizes_px,
    }
    if is_prepared(config.out, made_of, config.overwrite):
        print(f"{config.out}: already holds these faces")
        return
    names = [person_name(number) for number in range(config.people)]
    split_of = assign(dict.fromkeys(names, config.photos), parse_shares(config.split), {}, config.seed)
    counts = {}
    with staging(config.out) as folder:
        with progress_bar(config.people * config.photos, 0, "face", "drawing") as bar:
            for split in SPLITS:
                numbers = [number for number, name in enumerate(names) if split_of[name] == split]
                if numbers:
                    with SplitWriter(split_folder(folder, split), sizes_px, []) as writer:
                        for part in _parts(numbers, config.photos):
                            _draw(writer, *part, config.seed, names)
                            bar.update(len(part[0]))
                counts[split] = {"people": len(numbers), "images": len(numbers) * config.photos}
        publish(folder, config.out, made_of, {"splits": counts})
    for split, count in counts.items():
        print(f"{split_folder(config.out, split)}: {count['people']} people, {count['images']} synthetic faces")


def _parts(numbers: list[int], photos: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    person = torch.tensor(numbers).repeat_interleave(photos)
    photo = torch.arange(photos).repeat(len(numbers))
    return [(person[at : at + _BATCH], photo[at : at + _BATCH]) for at in range(0, len(person), _BATCH)]


def _draw(writer: SplitWriter, person: torch.Tensor, photo: torch.Tensor, seed: int, names: list[str]) -> None:
    faces = synthetic_faces(person, photo, seed).permute(0, 2, 3, 1).numpy()
    for face, who, number in zip(faces, person.tolist(), photo.tolist(), strict=True):
        image = f"{names[who]}/{names[who]}_{number + 1:04d}.png"
        writer.add(np.ascontiguousarray(face), image, names[who], "synthetic")


main = command(
    SynthesizeConfig, synthesize, example="python -m dataset synthesize --people 300 --photos 10 --out dataset"
)

if __name__ == "__main__":
    main()
