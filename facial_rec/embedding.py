"""EdgeFaceEmbedding: the one way in which every command turns faces into embeddings."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.files import sha256_of
from facial_rec.loading.adapter import apply_adapter, read_adapter
from facial_rec.loading.announcements import announce, announce_container, announce_program, announce_weights
from facial_rec.loading.branch import apply_branch, is_branch
from facial_rec.loading.containers import identify
from facial_rec.loading.programs import Program
from facial_rec.loading.refusals import FacesError, MismatchError, NotWeightsError, OtherNetworkError, WeightsError
from facial_rec.loading.selftest import agreement, check_sees
from facial_rec.loading.sources import find_weights
from facial_rec.loading.tensors import RawTensors, read_tensors
from facial_rec.loading.weights import Weights, load_network, weights_in
from facial_rec.networks.edgeface import INPUT_SIZE_PX, stage_outputs, watched_stages

# Resizing and 16-bit floats overshoot by less than this.
_OVERSHOOT = 2e-3


class EdgeFaceEmbedding(nn.Module):
    """A frozen EdgeFace: faces in, unit embeddings out, differentiable in the faces.

    The preprocessing is part of it: RGB in [0, 1], resized to 112x112 (bicubic, antialiased) where needed, then
    (x - 0.5) / 0.5. It stays in evaluation mode, also inside a model that trains.

    Args:
        weights: A path, a bare name or an `hf://` address; see `sources.find_weights`.
        device: Where to compute.
        arch: The variant expected; None takes the one that the file shows.
        adapter: An adapter or resolution branch made for these weights.
        key: Where in the file the network is, see `loading.choice.choose`; None where that is clear.

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
        key: str | None = None,
    ):
        super().__init__()
        device = torch.device(device)
        self.source = find_weights(weights)
        announce(f"Attempting TorchScript load from {weights}")
        try:
            file = identify(self.source)
            announce_container(file)
            rebuilt = self._choose(read_tensors(file), arch, key, device)
        except WeightsError as error:
            announce(f"Refused: {error}")
            raise
        self.adapter_sha256: str | None = None
        if adapter is not None:
            self._take_adapter(rebuilt, Path(adapter))
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

    def _choose(self, raw: RawTensors, arch: str | None, key: str | None, device: torch.device) -> Weights | None:
        """Take the network rebuilt from the tensors, or the program that came with them where it computes another.

        Returns:
            The weights of the rebuilt network; None for a black box.
        """
        announce_program(raw)
        try:
            weights = weights_in(raw, arch, key)
        except (MismatchError, NotWeightsError, OtherNetworkError) as error:
            if raw.program is None or arch is not None or key is not None:
                raise
            self._take_program(raw, raw.program, device, f"its network is not known ({error})")
            return None
        network = load_network(weights)
        if raw.program is not None:
            verdict = agreement(network, raw.program.on(torch.device("cpu")), weights.dtype)
            if not verdict.agrees:
                reason = f"the rebuilt {weights.arch} differs from it by {verdict.difference:.1e}"
                self._take_program(raw, raw.program, device, reason)
                return None
            announce(f"Rebuilt as {weights.arch}: {verdict.text}; the rebuilt network is used")
        else:
            announce_weights(weights)
        self.network = network
        self.arch, self.sha256, self.kind = weights.arch, weights.sha256, weights.described
        return weights

    def _take_adapter(self, rebuilt: Weights | None, path: Path) -> None:
        if rebuilt is None or self.network is None:
            raise MismatchError(
                f"{self.source}: a black box takes no adapter; give the weights that {path} was made for"
            )
        if is_branch(path):
            self.network = apply_branch(self.network, path).requires_grad_(False)
            self.adapter_sha256, self.kind = sha256_of(path), f"{self.kind}, resolution branch"
            announce(f"Branched by {path}")
            return
        adapter = read_adapter(path)
        self.network = load_network(replace(rebuilt, state_dict=apply_adapter(rebuilt.state_dict, adapter)))
        self.adapter_sha256 = adapter.sha256
        announce(f"Adapted by {path}")

    def _take_program(self, raw: RawTensors, program: Program, device: torch.device, reason: str) -> None:
        self.network, self.arch = None, "unknown"
        self._program = program.on(device)
        self.sha256, self.kind = sha256_of(raw.file.path), f"{raw.file.container}, black box"
        announce(f"Used as a black box, without feature maps: {reason}")


def check_faces(faces: Tensor) -> Tensor:
    """Return the faces, having checked that they are (B, 3, H, W) RGB float in [0, 1].

    Raises:
        FacesError: With what to do about it.
    """
    if not isinstance(faces, Tensor):
        raise FacesError(f"faces: a {type(faces).__name__}, not a tensor; pass torch.from_numpy(array)")
    shape = "x".join(map(str, faces.shape))
    if not faces.is_floating_point():
        raise FacesError(f"faces: {faces.dtype} values; convert with faces.float() / 255")
    if faces.dim() != 4:
        raise FacesError(f"faces: shape {shape}, expected Bx3xHxW; add the batch dimension with faces[None]")
    if faces.shape[1] != 3:
        remedy = (
            "permute(0, 3, 1, 2) puts the channels first" if faces.shape[3] == 3 else "expand grey to three channels"
        )
        raise FacesError(f"faces: shape {shape}, expected Bx3xHxW; {remedy}")
    if faces.numel() == 0:
        raise FacesError(f"faces: an empty batch (shape {shape}); skip it")
    if not torch.compiler.is_compiling() and torch._C._get_tracing_state() is None:
        _check_range(faces)
    return faces


def _check_range(faces: Tensor) -> None:
    lowest, highest = torch.stack(torch.aminmax(faces.detach())).tolist()
    if lowest >= -_OVERSHOOT and highest <= 1 + _OVERSHOOT:
        return
    if lowest != lowest or highest != highest:
        remedy = "they hold NaN; look at where they come from"
    elif highest > 2:
        remedy = "divide by 255"
    elif -1 - _OVERSHOOT <= lowest < 0 and highest <= 1 + _OVERSHOOT:
        remedy = "already normalised? pass (faces + 1) / 2; normalising is done inside"
    else:
        remedy = "clamp them"
    raise FacesError(f"faces: values from {lowest:.3g} to {highest:.3g}, expected 0 to 1; {remedy}")
