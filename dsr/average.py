"""The mean of several super-resolvers, weight by weight."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dsr.dsr_file import dsr_file, load_dsr, save_dsr
from dsr.network import DSR
from engine.cli import command
from engine.errors import UserError
from engine.files import sha256_of

SAME_ORIGIN = 0.5


class AverageError(UserError):
    """Super-resolvers of which no mean can be taken."""


@dataclass(frozen=True)
class AverageConfig:
    """Average super-resolvers that were trained on from the same start, weight by weight.

    The mean often serves better than each of them (model soups, Wortsman et al., ICML 2022), and the mean of one
    trained for clean faces and one trained on for cameras keeps most of what either knows (Wortsman et al., CVPR
    2022). Networks trained from different starts have nothing in common that could be averaged, and are refused.
    """

    files: Annotated[list[str], typer.Argument(help="Super-resolvers of one preset; 'default' is the one shipped.")]
    out: Annotated[Path, typer.Option(help="File to write, .pth or .safetensors.")]
    shares: Annotated[str, typer.Option(help="Share of each file, as 0.5,0.25,0.25; empty: all alike.")] = ""
    half: Annotated[bool, typer.Option("--half", help="Keep half precision, as the shipped one does.")] = False
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is already there.")] = False


def average(config: AverageConfig) -> None:
    """Write the mean that `config` describes."""
    if config.out.suffix not in (".pth", ".safetensors"):
        raise AverageError(f"{config.out}: a super-resolver is a .pth or a .safetensors; choose one of these names")
    if config.out.exists() and not config.overwrite:
        raise AverageError(f"{config.out}: already there; pass --overwrite, or choose another name")
    sources = [dsr_file(name) for name in config.files]
    shares = _shares(config.shares, len(sources))
    model = mean_of([load_dsr(source) for source in sources], shares, config.files)
    parts = [
        {"file": name, "sha256": sha256_of(source), "share": share}
        for name, source, share in zip(config.files, sources, shares, strict=True)
    ]
    save_dsr(config.out, model, {"average": parts}, torch.float16 if config.half else torch.float32)
    told = ", ".join(f"{share:.3g} of {name}" for name, share in zip(config.files, shares, strict=True))
    print(f"{config.out}: {model.preset}, {told}")


def mean_of(models: list[DSR], shares: list[float], names: list[str]) -> DSR:
    """Return the weighted mean of networks of one preset and one origin, in evaluation mode.

    Raises:
        AverageError: They have different presets, or were not trained on from the same start.
    """
    vectors = [parameters_to_vector(each.parameters()).detach() for each in models]
    for name, model, vector in zip(names, models, vectors, strict=True):
        if model.preset != models[0].preset:
            raise AverageError(f"{name}: preset {model.preset}, {names[0]} is {models[0].preset}; average one preset")
        likeness = float(torch.cosine_similarity(vector, vectors[0], dim=0))
        if likeness < SAME_ORIGIN:
            raise AverageError(
                f"{name}: its weights are unlike those of {names[0]} (cosine {likeness:.2f}), so that their mean would "
                "be neither; average networks trained on from the same start (--init)"
            )
    mean: Tensor = sum((share * vector for share, vector in zip(shares, vectors, strict=True)), torch.zeros(()))
    result = DSR(models[0].preset)
    vector_to_parameters(mean, result.parameters())
    return result.eval().requires_grad_(False)


def _shares(text: str, count: int) -> list[float]:
    if not text:
        return [1 / count] * count
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != count or not (min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6):
        raise AverageError(f"--shares {text}: expected {count} numbers that add up to 1, as 0.5,0.25,0.25")
    return shares


main = command(
    AverageConfig,
    average,
    example="python -m dsr average runs/first/best.pth runs/second/best.pth --out runs/average.pth",
)

if __name__ == "__main__":
    main()
