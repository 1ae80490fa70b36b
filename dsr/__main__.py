"""`python -m dsr`: lists the package's commands."""

from engine.cli import dispatch

dispatch(
    "dsr",
    "DSR: restore faces of 8 to 32 px so that a recogniser still sees the same person.",
    {
        "train_dsr": ("dsr.train_dsr", "Train a super-resolver against a frozen EdgeFace"),
        "average": ("dsr.average", "Average super-resolvers that were trained on from one start"),
        "presets": ("dsr.presets", "Print parameters, multiply-adds and latency of each preset"),
        "upscale": ("dsr.upscale", "Restore image files or folders to 112x112"),
    },
)
