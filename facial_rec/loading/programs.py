"""Programs, which are networks that bring their own code: run on any device and any batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.errors import reason_of
from facial_rec.loading.exported import load_exported
from facial_rec.loading.refusals import DamagedError
from facial_rec.loading.torch_notices import no_deprecation_notices
from facial_rec.loading.torchscript import load_script

_REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, torch.jit.Error)


@dataclass(frozen=True)
class Program:
    """A network that brings its own code, checked and not yet run.

    Attributes:
        source: The file.
        script: The TorchScript module on the CPU; None for an exported program, which is built only when needed.
    """

    source: Path
    script: nn.Module | None = None

    def on(self, device: torch.device) -> nn.Module:
        """Return the network as a black box on a device: (B, 3, 112, 112) in [-1, 1] -> (B, D), any B."""
        if self.script is not None:
            return AnyBatch(self.script if device.type == "cpu" else load_script(self.source, device))
        return AnyBatch(load_exported(self.source, device))


class AnyBatch(nn.Module):
    """Runs a program that may have been traced or exported for one batch size and one precision on any batch."""

    def __init__(self, program: nn.Module):
        super().__init__()
        self.program = program
        self.batch_size: int | None = None
        self.dtype = _dtype_of(program)

    def forward(self, faces: Tensor) -> Tensor:
        """Map (B, 3, 112, 112) to (B, D).

        Raises:
            DamagedError: The program takes faces of no batch size, or gives no embedding for each; with its reason.
        """
        if self.batch_size is None:
            try:
                return self._run(faces)
            except torch.OutOfMemoryError:
                raise
            except _REFUSALS as error:
                self.batch_size = self._accepted(faces, reason_of(error))
        size = self.batch_size
        padding = -len(faces) % size
        padded = torch.cat([faces, faces[:1].expand(padding, -1, -1, -1)])
        return torch.cat([self._run(chunk.contiguous()) for chunk in torch.split(padded, size)])[: len(faces)]

    def _accepted(self, faces: Tensor, reason: str) -> int:
        """Return the first batch size that the program takes."""
        for size in (1, 2, 4, 8, 16, 32, 64):
            try:
                if len(self._run(faces[:1].expand(size, -1, -1, -1).contiguous())) == size:
                    return size
            except _REFUSALS:
                continue
        raise DamagedError(
            f"a program that takes no batch of {tuple(faces.shape[1:])} faces ({reason}); export it for 3x112x112"
        )

    def _run(self, faces: Tensor) -> Tensor:
        with no_deprecation_notices():
            result = self.program(faces.to(self.dtype))
        several = result.values() if isinstance(result, Mapping) else result if isinstance(result, tuple | list) else ()
        for found in (result, *several):
            if isinstance(found, Tensor) and found.dim() == 2 and len(found) == len(faces):
                return found
        raise ValueError("the program does not map faces to one embedding each")


def _dtype_of(program: nn.Module) -> torch.dtype:
    """Return the precision of all parameters, in which the program was traced; float32 where they differ."""
    dtypes = {parameter.dtype for parameter in program.parameters() if parameter.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 else torch.float32
