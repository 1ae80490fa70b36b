"""One file from a base and its adapter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import command
from engine.errors import UserError
from facial_rec.adapter import apply_adapter, read_adapter
from facial_rec.finetuned import save_finetuned
from facial_rec.sources import find_weights
from facial_rec.weights import read_weights


@dataclass(frozen=True)
class MergeConfig:
    """Add an adapter to the EdgeFace that it was made for, and write one whole checkpoint.

    The result is adapted for every input; a recogniser that takes base and adapter apart applies it to small faces
    only, which is what keeps full-size faces untouched.
    """

    base: Annotated[str, typer.Argument(help="EdgeFace weights. A name or a path.")]
    adapter: Annotated[Path, typer.Argument(help="Adapter made for these weights.")]
    out: Annotated[Path, typer.Argument(help="Checkpoint to write, .pth.")]
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is already there.")] = False


def merge(config: MergeConfig) -> None:
    """Write the merged checkpoint that `config` describes."""
    if config.out.suffix != ".pth":
        raise UserError(
            f"{config.out}: a merged checkpoint is a .pth; `facial_rec convert` makes other formats from it"
        )
    if config.out.exists() and not config.overwrite:
        raise UserError(f"{config.out}: already there; pass --overwrite, or choose another name")
    weights, adapter = read_weights(find_weights(config.base)), read_adapter(config.adapter)
    tuned = apply_adapter(weights.state_dict, adapter)
    facts = {**adapter.metadata, "adapter_sha256": adapter.sha256, "base_sha256": weights.sha256}
    save_finetuned(config.out, weights.arch, tuned, facts)
    print(f"{config.out}: {weights.arch} with {config.adapter.name}")


main = command(
    MergeConfig, merge, example="python -m facial_rec merge edgeface_xxs_q.pt xxs.lowres.safetensors tuned.pth"
)

if __name__ == "__main__":
    main()
