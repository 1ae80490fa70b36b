"""Which of the networks that a file holds is meant."""

import re
from typing import Annotated

import torch
import typer

from facial_rec.loading.architecture import Recognised, recognise
from facial_rec.loading.backbone import Backbone
from facial_rec.loading.refusals import MismatchError, OtherNetworkError

KeyOption = Annotated[
    str | None,
    typer.Option("--key", help="Which network of a checkpoint that holds several: where in it, as model.ema."),
]
TOP = "."
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_AVERAGED = {"ema", "swa", "avg", "average", "averaged", "averages", "averaging", "mean", "polyak", "shadow"}
_OPTIMISER = ("optim", "exp avg")
_MOST_SHOWN = 8


def choose(backbones: list[Backbone], arch: str | None = None, key: str | None = None) -> Recognised:
    """Choose among what was found: the one whole EdgeFace; of several the averaged one, by what it is called.

    Args:
        backbones: What `find_backbones` found, at least one.
        arch: The variant expected; None takes any.
        key: Where in the file it is, as `Backbone.place` says or the part of it that no other has; "." for the top.
            None leaves the choice to the names.

    Raises:
        OtherNetworkError: None is an EdgeFace.
        MismatchError: None is whole, nothing is at `key`, or it stays unclear which is meant.
    """
    path = backbones[0].raw.file.path
    asked = backbones if key is None else _under(backbones, key)
    if not asked:
        raise MismatchError(f"{path}: holds no network under {key!r}; --key takes {_places(backbones)}")
    ranked = sorted(asked, key=_rank)  # stable: the least deep first
    whole, refusals = [], []
    for backbone in ranked:
        try:
            whole.append(recognise(backbone, arch))
        except (MismatchError, OtherNetworkError) as error:
            refusals.append(error)
    if not whole:
        raise refusals[0]
    best = [each for each in whole if _rank(each.backbone) == _rank(whole[0].backbone)]
    if any(not _same_tensors(best[0].backbone, other.backbone) for other in best[1:]):
        places = _places([each.backbone for each in best])
        raise MismatchError(
            f"{path}: holds {len(best)} EdgeFaces and no word on which is meant: {places}; "
            "choose one with --key, or write it alone: python -m facial_rec convert FILE OUT --key PLACE"
        )
    return best[0]


def _rank(backbone: Backbone) -> int:
    """Return 0 for averaged weights, which are what a training evaluates; 1 for raw ones, 2 for an optimiser's."""
    words = [word.lower() for word in _WORDS.findall(backbone.place)]
    text = " ".join(words)
    if any(text.startswith(mark) or f" {mark}" in text for mark in _OPTIMISER):
        return 2
    return 0 if _AVERAGED & set(words) else 1


def _under(backbones: list[Backbone], key: str) -> list[Backbone]:
    """Return the networks at a place: the one of exactly that name, else those whose place it is a part of."""
    wanted = key.strip(".")
    exact = [backbone for backbone in backbones if backbone.place == wanted]
    return exact or [backbone for backbone in backbones if wanted and f".{wanted}." in f".{backbone.place}."]


def _places(backbones: list[Backbone]) -> str:
    names = [backbone.place or TOP for backbone in backbones]
    return ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")


def _same_tensors(one: Backbone, other: Backbone) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        tensor.dtype == other.tensors[name].dtype and torch.equal(tensor, other.tensors[name])
        for name, tensor in one.tensors.items()
    )
