"""What a data set of synthetic faces tells of how it was drawn."""

from pathlib import Path

from dataset.photographs.assembly import RECORD
from engine.errors import UserError
from engine.text import read_json

_NAME = "person_{:05d}"


def person_name(number: int) -> str:
    """Return what a synthetic person is called."""
    return _NAME.format(number)


def person_number(name: str) -> int:
    """Return which synthetic person is called so."""
    return int(name.rpartition("_")[2])


def synthetic_seed(dataset: Path) -> int:
    """Return the seed of the people of a data set.

    Raises:
        UserError: Its faces are not synthetic, or nothing says how they were made.
    """
    try:
        made_of = read_json(dataset / RECORD)["made_of"]
        if "synthetic" in made_of:
            return int(made_of["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{dataset / RECORD}: does not describe synthetic people, whose traits are known; draw some by "
        "`python -m dataset synthesize`, or choose another --margin-kind"
    )
