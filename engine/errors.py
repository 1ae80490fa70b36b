"""The root of the errors that a user can mend.

UserError
├── facial_rec.loading.refusals.WeightsError   a weights file that cannot be loaded whole
├── dataset ... Error                 photographs, stores and layouts
├── engine.checkpoint.CheckpointError a run that cannot be saved or resumed
└── ...                               each stands beside the code that raises it
"""


class UserError(Exception):
    """A mistake that the user can mend.

    `str(error)` is one line: what was wrong, the value, the file, what to do. Commands print it and exit with 2.
    """


class GateError(UserError):
    """A run that violated one of its own gates (a collapse, a loss of accuracy): commands exit with 3."""


_LONGEST_END = 200


def reason_of(error: BaseException) -> str:
    """Return what another library says went wrong, on one line: whole, or if it is long both of its ends.

    Some say what is wrong first and go on at length; others end with it, after the course of the program.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 2 * _LONGEST_END else f"{text[:_LONGEST_END]} ... {text[-_LONGEST_END:]}"
