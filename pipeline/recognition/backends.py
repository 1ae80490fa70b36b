"""One recogniser, two backends: onnxruntime, which needs no torch, and torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import typer
from numpy.typing import NDArray

from engine.errors import UserError
from pipeline.recognition.onnx_recognizer import OnnxRecognizer

Floats = NDArray[np.float32]

EXPORTED = Path("runs/export/recogniser.onnx")
"""Where `pipeline export` leaves its file. None ships: EdgeFace's weights are not ours to give."""


class BackendError(UserError):
    """A backend that cannot be used as asked."""


class Backend(Protocol):
    """What recognises faces; see `OnnxRecognizer` for shapes and ranges."""

    @property
    def model(self) -> str:
        """Hash of the networks and their precision."""
        ...

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files that it is made of: edgeface, edgeface_small, adapter, dsr."""
        ...

    @property
    def threshold(self) -> float:
        """Lowest similarity that is taken for the same person."""
        ...

    def embed(self, faces: Floats) -> Floats:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 512) of unit length."""
        ...

    def restore(self, faces: Floats) -> Floats:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 112, 112), what EdgeFace sees."""
        ...


@dataclass(frozen=True, kw_only=True)
class RecogniserOptions:
    """The flags by which commands choose a recogniser."""

    backend: Annotated[
        Literal["onnx", "torch"], typer.Option(help="What computes; torch takes the networks one by one.")
    ] = "onnx"
    model: Annotated[Path, typer.Option(help="Exported model (onnx).")] = EXPORTED
    edgeface: Annotated[
        str | None, typer.Option(help="Original EdgeFace (torch), a name or a path; without it, the trainings'.")
    ] = None
    dsr: Annotated[
        str, typer.Option(help="Super-resolver (torch): path, auto (the last training's, else default), default, none.")
    ] = "auto"
    finetuned: Annotated[
        str, typer.Option(help="Fine-tuned for faces up to 32 px (torch): a path, auto (the last fine-tuning's), none.")
    ] = "auto"
    adapter: Annotated[
        str,
        typer.Option(
            help="Adapter for them (torch): a file, full or small (shipped), auto (full; none if tuned), none."
        ),
    ] = "auto"
    crops: Annotated[
        bool, typer.Option("--crops", help="The pictures are aligned crops: embed them as they are, look for no faces.")
    ] = False
    threads: Annotated[int, typer.Option(min=1, help="Threads of the recogniser and the detector.")] = 1


def open_backend(options: RecogniserOptions) -> Backend:
    """Return the recogniser that the flags name.

    Raises:
        BackendError: No model was exported yet, or torch is not installed.
        OnnxModelError: A file that is no exported recogniser.
    """
    if options.backend == "torch":
        return _torch_backend(options)
    if options.model == EXPORTED and not EXPORTED.is_file():
        raise BackendError(
            f"{EXPORTED}: no exported model yet; make one with python -m pipeline export, or pass --model"
        )
    return OnnxRecognizer(options.model, threads=options.threads)


def _torch_backend(options: RecogniserOptions) -> Backend:
    try:
        from pipeline.deployment.deployed_networks import TorchBackend
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "pipeline.deployment"):  # the small distribution holds neither
            raise
        raise BackendError("--backend torch: torch is not installed here; use --backend onnx") from None
    return TorchBackend(options.edgeface, options.dsr, options.finetuned, options.adapter, options.threads)
