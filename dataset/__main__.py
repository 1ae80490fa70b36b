"""List the commands of this package, or run one."""

from engine.cli import dispatch

dispatch(
    "dataset",
    "Photographs of people, aligned, split by person, packed and degraded.",
    {
        "prepare": ("dataset.prepare", "Align, split and pack photographs"),
        "synthesize": ("dataset.synthesize", "Draw synthetic people, split and packed likewise"),
        "detect": ("dataset.locate", "Find faces and landmarks in photographs, as JSON or CSV"),
        "export": ("dataset.export", "Write a split as RecordIO, or a list of its pairs as a verification set"),
        "check": ("dataset.check", "Count, compare and look at a prepared data set"),
    },
)
