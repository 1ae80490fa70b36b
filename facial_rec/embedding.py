"""EdgeFaceEmbedding: the one way in which every command turns faces into embeddings."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.files import sha256_of
from facial_rec.loading.adapter import apply_adapter, read_adapter
from facial_rec.loading.announcements import announce
from facial_rec.loading.branch import apply_branch, is_branch
from facial_rec.loading.containers import Container, identify
from facial_rec.loading.face_tensors import check_faces
from facial_rec.loading.programs import Program, open_program
from facial_rec.loading.refusals import MismatchError, NotWeightsError, OtherNetworkError, WeightsError
from facial_rec.loading.selftest import agreement, check_sees
from facial_rec.loading.weights import Weights, find_weights, load_network, read_weights, weights_of
from facial_rec.networks.edgeface import INPUT_SIZE_PX, stage_outputs, watched_stages

_BLACK_BOX = "black box"


class EdgeFaceEmbedding(nn.Module):
    """A frozen EdgeFace: faces in, unit embeddings out, differentiable in the faces.

    The preprocessing is part of it: RGB in [0, 1], resized to 112x112 (bicubic, antialiased) where needed, then
    (x - 0.5) / 0.5. It stays in evaluation mode, also inside a model that trains.

    Args:
        weights: A path, a bare name or an `hf://` address; see `sources.find_weights`.
        device: Where to compute.
        arch: The variant expected; None takes the one that the file shows.
        adapter: An adapter or resolution branch made for these weights.

    Attributes:
        network: The network, (B, 3, 112, 112) in [-1, 1] -> (B, 512); None for a black box.
        arch: Variant; "unknown" for a black box.
        sha256: Of the weights file; `adapter_sha256` of the adapter's, or None.
        source: The weights file.
        kind: In words, as "float state_dict" or "TorchScript, black box".

    Raises:
        WeightsError: The file is refused; nothing is loaded in part.
    """

    network: nn.Module | None

    def __init__(
        self,
        weights: str | Path,
        device: str | torch.device = "cpu",
        arch: str | None = None,
        adapter: str | Path | None = None,
    ):
        super().__init__()
        self.source = find_weights(weights)
        device = torch.device(device)
        announce(f"Attempting TorchScript load from {weights}")
        try:
            container = identify(self.source)
            if container in (Container.TORCHSCRIPT, Container.EXPORTED):
                loaded = self._from_program(open_program(self.source, container), arch, device)
            else:
                loaded = self._from_state_dict(container, arch)
        except WeightsError as error:
            announce(f"Refused: {error}")
            raise
        self.adapter_sha256: str | None = None
        if adapter is not None:
            self._adapt(loaded, adapter)
        self.to(device)
        check_sees(self.source, self._embed, device)

    def forward(self, faces: Tensor) -> Tensor:
        """Embed faces.

        Args:
            faces: (B, 3, H, W) RGB float in [0, 1].

        Returns:
            (B, 512) embeddings of length 1, float32 outside autocast.

        Raises:
            FacesError: Faces of another type, shape or range.
        """
        return self._embed(check_faces(faces))

    def feature_maps(self, faces: Tensor) -> list[Tensor]:
        """Return the network's four stage outputs, coarser and coarser.

        Args:
            faces: (B, 3, H, W) RGB float in [0, 1].

        Raises:
            FacesError: Faces of another type, shape or range.
            MismatchError: The weights are a black box, whose stages cannot be seen.
        """
        if self.network is None:
            raise MismatchError(
                f"{self.source}: a black box ({self.kind}) shows no feature maps; "
                "give a state_dict or safetensors file, or turn feature matching off"
            )
        return stage_outputs(self.network, self._prepared(check_faces(faces)))

    def embed_with_maps(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return embeddings and stage outputs of one pass; a black box gives no outputs.

        Args:
            faces: (B, 3, 112, 112) RGB float in [0, 1], not checked: this is the inner loop of trainings.
        """
        if self.network is None:
            return self._embed(faces), []
        with watched_stages(self.network) as maps:
            return self._embed(faces), maps

    def trainable_copy(self) -> nn.Module:
        """Return a copy of the network whose weights learn: (B, 3, 112, 112) in [-1, 1] -> (B, 512).

        Raises:
            MismatchError: The weights are a black box.
        """
        if self.network is None:
            raise MismatchError(f"{self.source}: a black box ({self.kind}) cannot be tuned; give a state_dict file")
        network: nn.Module = copy.deepcopy(self.network)
        return network.requires_grad_(True)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: a frozen recogniser inside a training must not start to learn statistics."""
        return super().train(False)

    def _embed(self, faces: Tensor) -> Tensor:
        network = self.network if self.network is not None else self._program
        return F.normalize(network(self._prepared(faces)).float())

    def _prepared(self, faces: Tensor) -> Tensor:
        faces = faces.float()
        if faces.shape[-2:] != (INPUT_SIZE_PX, INPUT_SIZE_PX):
            size = (INPUT_SIZE_PX, INPUT_SIZE_PX)
            faces = F.interpolate(faces, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        return (faces - 0.5) / 0.5

    def _from_state_dict(self, container: Container, arch: str | None) -> Weights:
        announce(f"TorchScript load failed: not a TorchScript archive but {container}")
        announce("Falling back to EdgeFace architecture loading")
        weights = read_weights(self.source, arch)
        stored = container if container is Container.SAFETENSORS else "state_dict"
        self._take(weights, load_network(weights), f"{weights.kind} {stored}")
        announce(f"Loaded {weights.kind} backbone weights")
        announce(_facts(weights))
        return weights

    def _from_program(self, program: Program, arch: str | None, device: torch.device) -> Weights | None:
        """Use the rebuilt network where it computes the same as the program, else the program itself."""
        name = "TorchScript model" if program.container is Container.TORCHSCRIPT else str(program.container)
        announce(f"Successfully loaded as {name}")
        try:
            weights = weights_of(program, arch)
        except (MismatchError, NotWeightsError, OtherNetworkError) as error:
            if arch is not None:
                raise
            self._take_black_box(program, device, f"its network is not known ({error})")
            return None
        network = load_network(weights)
        verdict = agreement(network, program.on(torch.device("cpu")), quantised=weights.dtype == "qint8")
        if not verdict.agrees:
            reason = f"the rebuilt {weights.arch} differs from it by {verdict.difference:.1e}"
            self._take_black_box(program, device, reason)
            return None
        self._take(weights, network, f"{program.container}, rebuilt")
        announce(f"Rebuilt as {weights.arch}: {verdict.text}; the rebuilt network is used")
        return weights

    def _take(self, weights: Weights, network: nn.Module, kind: str) -> None:
        self.network = network
        self.arch, self.sha256, self.kind = weights.arch, weights.sha256, kind

    def _take_black_box(self, program: Program, device: torch.device, reason: str) -> None:
        self.network, self.arch = None, "unknown"
        self._program = program.on(device)
        self.sha256, self.kind = sha256_of(program.source), f"{program.container}, {_BLACK_BOX}"
        announce(f"Used as a black box, without feature maps: {reason}")

    def _adapt(self, weights: Weights | None, adapter: str | Path) -> None:
        if weights is None:
            raise MismatchError(
                f"{self.source}: a black box takes no adapter; give the weights that {adapter} was made for"
            )
        if is_branch(Path(adapter)):
            self.network = apply_branch(cast(nn.Module, self.network), Path(adapter)).requires_grad_(False)
            self.adapter_sha256, self.kind = sha256_of(Path(adapter)), f"{self.kind}, resolution branch"
            announce(f"Branched by {adapter}")
            return
        read = read_adapter(adapter)
        self.network = load_network(replace(weights, state_dict=apply_adapter(weights.state_dict, read)))
        self.adapter_sha256 = read.sha256
        announce(f"Adapted by {adapter}")


def _facts(weights: Weights) -> str:
    published = f", the published {weights.official}" if weights.official else ""
    ignored = ""
    if weights.ignored:
        shown = ", ".join(weights.ignored[:3])
        ignored = f"; {len(weights.ignored)} tensors beside the network ignored ({shown})"
    return f"{weights.arch}, {weights.dtype}, sha256 {weights.sha256[:12]}{published}{ignored}"
