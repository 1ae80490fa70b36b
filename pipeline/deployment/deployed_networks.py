"""The networks that a deployed recogniser consists of, and the hash by which galleries know it."""

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataset.views.resolution import LARGEST_VLR_PX, at_own_resolution
from dsr.dsr_file import PRETRAINED, load_dsr
from dsr.network import DSR
from engine.errors import UserError
from engine.files import sha256_of
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.branch import BranchedEdgeFace
from pipeline.default_files import choose_adapter, choose_dsr, choose_edgeface, choose_tuned
from pipeline.deployment.exportable_chain import Embed
from pipeline.recognition.torch_recognizer import Recognizer

Floats = NDArray[np.float32]


class DeployedError(UserError):
    """Networks that cannot be deployed together."""


class ThresholdMissingError(UserError):
    """Networks in torch carry no measured threshold."""


@dataclass(frozen=True)
class DeployedNetworks:
    """What is exported, or run in torch.

    Attributes:
        dsr: Super-resolver or None.
        small: EdgeFace for faces up to 32 px: (B, 3, 112, 112) in [-1, 1] -> (B, 512).
        large: EdgeFace for the others; the same object where one serves both.
        hashes: Role to SHA-256 of what it was loaded from.
    """

    dsr: DSR | None
    small: nn.Module
    large: nn.Module
    hashes: dict[str, str]

    def embed(self, faces: Floats, flip: bool = True) -> Floats:
        """Embed (B, 3, h, w) RGB in [0, 1]: (B, 512) of unit length.

        Faces of up to 32 px, and larger ones that show no more than that, go the way of small faces.
        """
        return at_own_resolution(faces, partial(self._embed, flip=flip))

    def _embed(self, faces: Floats, flip: bool) -> Floats:
        small = max(faces.shape[-2:]) <= LARGEST_VLR_PX
        recogniser = Recognizer(Embed(self.small if small else self.large), self.dsr, flip)
        return recogniser.embed(torch.from_numpy(np.ascontiguousarray(faces))).numpy()

    def restore(self, faces: Floats) -> Floats:
        """Return what EdgeFace sees, (B, 3, 112, 112) in [0, 1]."""
        return at_own_resolution(faces, self._restore)

    def _restore(self, faces: Floats) -> Floats:
        viewer = Recognizer(lambda seen: seen, self.dsr, flip=False)
        return viewer.views(torch.from_numpy(np.ascontiguousarray(faces)))[0].numpy()


def load_deployed(
    edgeface: str, dsr: Path | None, use_dsr: bool, finetuned: Path | None, adapter: str
) -> DeployedNetworks:
    """Load networks on the CPU.

    Args:
        edgeface: Original EdgeFace, for full-size faces; a name or a path.
        dsr: Super-resolver; None is the trained default.
        use_dsr: False leaves it out.
        finetuned: EdgeFace for faces up to 32 px; None is the original.
        adapter: Adapter of the original for faces up to 32 px, where none is fine-tuned; see `choose_adapter`.

    Raises:
        DeployedError: An EdgeFace of unknown architecture.
    """
    original = EdgeFaceEmbedding(edgeface)
    adapted = choose_adapter(adapter, original) if finetuned is None else None
    small = original
    if finetuned is not None or adapted is not None:
        small = EdgeFaceEmbedding(finetuned or edgeface, adapter=adapted)
    if original.network is None or small.network is None:
        raise DeployedError(f"{edgeface}: a black box ({original.kind}) cannot be deployed; give a state_dict file")
    if isinstance(small.network, BranchedEdgeFace):
        raise DeployedError(f"{adapter}: a resolution branch runs in evaluations only so far; give a low-rank adapter")
    hashes = {"edgeface": original.sha256, "edgeface_small": small.sha256}
    if adapted is not None:
        hashes["adapter"] = sha256_of(adapted)
    network = load_dsr(dsr) if use_dsr else None
    if network is not None:
        hashes["dsr"] = sha256_of(dsr or PRETRAINED)
    return DeployedNetworks(network, small.network.eval(), original.network.eval(), hashes)


def choose_deployed(edgeface: str | None, dsr: str, finetuned: str, adapter: str) -> DeployedNetworks:
    """Load what was asked for or, by "auto" and None, what earlier commands left, and say which files those are.

    Args:
        edgeface: See `default_files.choose_edgeface`.
        dsr: See `default_files.choose_dsr`.
        finetuned: With `adapter`, see `default_files.choose_tuned`.
        adapter: See `default_files.choose_adapter`.

    Raises:
        UserError: A file that is not there, or that cannot be deployed.
    """
    original, super_resolver = choose_edgeface(edgeface), choose_dsr(dsr)
    tuned, adapter = choose_tuned(finetuned, adapter)
    networks = load_deployed(original, super_resolver, super_resolver is not None, tuned, adapter)
    adapted = "with the shipped adapter" if adapter in ("auto", "full", "small") else f"with the adapter {adapter}"
    print(
        f"super-resolver {super_resolver or 'none'}; EdgeFace {original}, for faces up to {LARGEST_VLR_PX} px "
        f"{tuned or (adapted if 'adapter' in networks.hashes else 'too')}",
        file=sys.stderr,
    )
    return networks


def model_hash(hashes: dict[str, str], precision: str, calibration: str | None = None) -> str:
    """Return the hash of a recogniser; the same networks have the same in torch and in an fp32 export.

    Args:
        hashes: Of `DeployedNetworks`.
        precision: "fp32", "fp16" or "int8".
        calibration: Hash of the faces by which int8 chose its ranges, if it did: other faces, other embeddings.
    """
    calibrated = {} if calibration is None else {"calibration": calibration}
    identity = json.dumps({**hashes, "precision": precision, **calibrated}, sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


class TorchBackend:
    """The recogniser in torch: networks loaded one by one; see `recognition.backends.Backend` and `choose_deployed`.

    Args:
        edgeface: Original EdgeFace.
        dsr: Super-resolver.
        finetuned: EdgeFace for small faces.
        adapter: The original's for small faces.
        threads: Threads that torch may use, in this whole process.
    """

    def __init__(self, edgeface: str | None, dsr: str, finetuned: str, adapter: str, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._networks = choose_deployed(edgeface, dsr, finetuned, adapter)
        self.hashes = self._networks.hashes
        self.model = model_hash(self.hashes, "fp32")

    @property
    def threshold(self) -> float:
        """Not known.

        Raises:
            ThresholdMissingError: Always; an export measures one.
        """
        raise ThresholdMissingError(
            "networks in torch carry no threshold; give --threshold, or use an exported --model"
        )

    def embed(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 512) of unit length."""
        return self._networks.embed(faces)

    def restore(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, 112, 112), what EdgeFace sees."""
        return self._networks.restore(faces)
