"""One file from a base and its adapter."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from engine.cli import command
from engine.errors import UserError
from facial_rec.loading.adapter import apply_adapter, read_adapter, write_adapter
from facial_rec.loading.saving import save_finetuned
from facial_rec.loading.sources import find_weights
from facial_rec.loading.weights import read_weights


@dataclass(frozen=True)
class MergeConfig:
    """Add an adapter to the EdgeFace that it was made for, and write one whole checkpoint.

    The result is adapted for every input; a recogniser that takes base and adapter apart applies it to small faces
    only, which is what keeps full-size faces untouched. With --strength the weights are taken between the two, which
    often serves better than either (Wortsman et al., CVPR 2022, arXiv 2109.01903).
    """

    base: Annotated[str, typer.Argument(help="EdgeFace weights. A name or a path.")]
    adapter: Annotated[Path, typer.Argument(help="Adapter made for these weights.")]
    out: Annotated[Path, typer.Argument(help="Checkpoint to write, .pth; or a weaker adapter, .safetensors.")]
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="How far to go from the base (0) to what was tuned (1).")
    ] = 1.0
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is already there.")] = False


def merge(config: MergeConfig) -> None:
    """Write the merged checkpoint that `config` describes."""
    if config.out.suffix not in (".pth", ".safetensors"):
        raise UserError(
            f"{config.out}: a merged checkpoint is a .pth, an adapter a .safetensors; "
            "`facial_rec convert` makes other formats"
        )
    if config.out.exists() and not config.overwrite:
        raise UserError(f"{config.out}: already there; pass --overwrite, or choose another name")
    weights, adapter = read_weights(find_weights(config.base)), read_adapter(config.adapter)
    tuned = _between(weights.state_dict, apply_adapter(weights.state_dict, adapter), config.strength)
    facts = {
        **adapter.metadata,
        "adapter_sha256": adapter.sha256,
        "strength": config.strength * float(adapter.metadata.get("strength", 1.0)),
    }
    if config.strength < 1:
        facts.pop("metrics", None)  # they are those of the full strength
    if config.out.suffix == ".safetensors":
        write_adapter(config.out, weights.state_dict, tuned, facts)
    else:
        save_finetuned(config.out, weights.arch, tuned, {**facts, "base_sha256": weights.sha256})
    print(f"{config.out}: {weights.arch} with {config.adapter.name}")


def _between(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
    changed = (name for name in base if not torch.equal(base[name], tuned[name]))
    return {**base, **{name: torch.lerp(base[name].float(), tuned[name].float(), strength) for name in changed}}


main = command(
    MergeConfig, merge, example="python -m facial_rec merge edgeface_xxs_q.pt edgeface_xxs.lowres.safetensors tuned.pth"
)

if __name__ == "__main__":
    main()
