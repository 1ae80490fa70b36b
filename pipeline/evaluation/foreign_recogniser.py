"""Recognisers of any family, as ONNX files: what DSR gains in front of one, it gains for faces, not for EdgeFace."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.errors import UserError
from engine.files import sha256_of
from facial_rec.networks.edgeface import EMBEDDING_SIZE
from metrics.comparisons import all_pairs
from metrics.verification import auc
from pipeline.evaluation.faces import HR_PX, Split, stack
from pipeline.recognition.onnx_recognizer import open_session

LEAST_AUC = 0.8
"""Of full-size faces; below it the recogniser does not see what it was trained on."""

_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_SCALES = {
    "(x - 127.5) / 128": ((127.5,) * 3, (128.0,) * 3),
    "x / 255": ((0.0,) * 3, (255.0,) * 3),
    "x": ((0.0,) * 3, (1.0,) * 3),
    "ImageNet": _IMAGENET,
}


class ForeignRecogniserError(UserError):
    """An ONNX file that is no recogniser of aligned faces, or one whose input is not understood."""


@dataclass(frozen=True)
class Preprocessing:
    """What a recogniser wants done to 8-bit faces.

    Attributes:
        colours: "rgb" or "bgr".
        scale: One of "(x - 127.5) / 128", "x / 255", "x" and "ImageNet" (mean and deviation of its photographs).
    """

    colours: str
    scale: str

    def __str__(self) -> str:
        return f"{self.colours.upper()}, {self.scale}"

    def apply(self, faces: Tensor) -> Tensor:
        """Return (B, 3, h, w) float32 of faces (B, 3, h, w) RGB in [0, 1]."""
        mean, deviation = (torch.tensor(values)[:, None, None] for values in _SCALES[self.scale])
        scaled = (faces * 255 - mean) / deviation
        return scaled.flip(1) if self.colours == "bgr" else scaled


CANDIDATES = tuple(Preprocessing(colours, scale) for colours, scale in product(("rgb", "bgr"), _SCALES))


class ForeignRecogniser:
    """Embeds faces by an ONNX file: one input of three colours, one output of at most 512 values a face.

    Args:
        path: The file.
        preprocessing: What its input wants.

    Attributes:
        source, sha256, arch, kind: As those of `EdgeFaceEmbedding`.

    Raises:
        ForeignRecogniserError: Other inputs or outputs.
        OnnxModelError: No whole ONNX file, or no onnxruntime.
    """

    kind = "onnx"
    arch = "unknown"

    def __init__(self, path: str | Path, preprocessing: Preprocessing) -> None:
        self.source = str(path)
        self.preprocessing = preprocessing
        self._session = open_session(Path(path), torch.get_num_threads())
        self.sha256 = sha256_of(Path(path))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or 3 not in (shape[1], shape[3]) or len(outputs) != 1:
            raise ForeignRecogniserError(
                f"{path}: takes {[entry.shape for entry in inputs]} and gives {len(outputs)} outputs; a recogniser "
                "takes one batch of faces, (B, 3, 112, 112) or (B, 112, 112, 3), and gives one of embeddings"
            )
        self._channels_last = shape[1] != 3
        side = shape[1] if self._channels_last else shape[2]
        self._side = side if isinstance(side, int) else 112
        self._one_by_one = shape[0] == 1

    def __call__(self, faces: Tensor) -> Tensor:
        """Return (B, 512) float32 embeddings of length 1, filled up with zeros.

        Args:
            faces: (B, 3, 112, 112) RGB in [0, 1].

        Raises:
            ForeignRecogniserError: The file gives something else.
        """
        device, faces = faces.device, self.preprocessing.apply(faces.cpu().float())
        if faces.shape[-1] != self._side:
            faces = F.interpolate(faces, (self._side, self._side), mode="bicubic", antialias=True)
        batches = torch.split(faces, 1 if self._one_by_one else len(faces))
        values = np.concatenate([self._run(batch) for batch in batches])
        if values.ndim != 2 or len(values) != len(faces) or values.shape[1] > EMBEDDING_SIZE:
            raise ForeignRecogniserError(
                f"{self.source}: gives {values.shape} for {len(faces)} faces; a recogniser gives (B, D), D up to 512"
            )
        embeddings = F.normalize(torch.from_numpy(values).float(), dim=1)
        return F.pad(embeddings, (0, EMBEDDING_SIZE - values.shape[1])).to(device)

    def _run(self, faces: Tensor) -> NDArray[np.float32]:
        given = faces.permute(0, 2, 3, 1) if self._channels_last else faces
        name = self._session.get_inputs()[0].name
        result: Any = self._session.run(None, {name: given.contiguous().numpy()})[0]
        return np.asarray(result).reshape(len(faces), -1)


def choose_preprocessing(unseen: str | None, given: str, split: Split) -> Preprocessing | None:
    """Return what the input of an unseen recogniser of another family wants; None where it is an EdgeFace, or none.

    Args:
        unseen: The recogniser's file.
        given: "auto": found out on full-size faces of the split; or one of `CANDIDATES`, such as "bgr:x / 255".
        split: The faces.

    Raises:
        ForeignRecogniserError: Something else is given, or by none of `CANDIDATES` people are told apart.
    """
    if unseen is None or Path(unseen).suffix.lower() != ".onnx":
        if given != "auto":
            raise ForeignRecogniserError("--unseen-input is for an --unseen FILE.onnx; an EdgeFace needs none")
        return None
    if given != "auto":
        return _parse(given)
    rows = _rows_in_pairs(split.person)
    seen = [(row, face) for row, face in zip(rows, split.views(rows, HR_PX), strict=True) if face is not None]
    faces, person = stack([face for _, face in seen]), split.person[[row for row, _ in seen]]
    found, area = find_preprocessing(unseen, faces, person)
    print(f"{unseen}: takes {found} (area under the ROC {area:.3f} on {len(seen)} full-size faces)")
    return found


def find_preprocessing(path: str | Path, faces: Tensor, person: NDArray[np.int64]) -> tuple[Preprocessing, float]:
    """Return the preprocessing by which a recogniser tells people apart best at full size, and its area under the ROC.

    Args:
        path: The ONNX file.
        faces: (N, 3, 112, 112) RGB in [0, 1], some of them of one person.
        person: (N,) whose they are.

    Raises:
        ForeignRecogniserError: By none of them people are told apart.
    """
    areas = {}
    for candidate in CANDIDATES:
        recogniser = ForeignRecogniser(path, candidate)
        embeddings = torch.cat([recogniser(batch) for batch in torch.split(faces, 32)]).numpy()
        if np.isfinite(embeddings).all():
            scores = all_pairs(embeddings, embeddings, person, person)
            areas[candidate] = auc(scores.genuine, scores.impostor)
    best = max(areas, key=lambda candidate: areas[candidate], default=CANDIDATES[0])
    if areas.get(best, 0.0) < LEAST_AUC:
        raise ForeignRecogniserError(
            f"{path}: tells full-size faces apart by no usual input (the best, {best}: area {areas.get(best, 0.0):.2f} "
            f"of 1); it is no recogniser of faces on ArcFace's template, or wants another input"
        )
    return best, areas[best]


def _parse(text: str) -> Preprocessing:
    """Read "COLOURS:SCALE", such as "bgr:x / 255".

    Raises:
        ForeignRecogniserError: It is none of `CANDIDATES`.
    """
    named = {f"{candidate.colours}:{candidate.scale}".replace(" ", ""): candidate for candidate in CANDIDATES}
    found = named.get(text.replace(" ", ""))
    if found is None:
        raise ForeignRecogniserError(f"--unseen-input {text!r}: give auto, or one of {', '.join(named)}")
    return found


def _rows_in_pairs(person: NDArray[np.int64], most: int = 120) -> NDArray[np.int64]:
    """Return the rows of the first two faces of people with several, at most so many faces."""
    rows = [np.flatnonzero(person == who)[:2] for who in np.flatnonzero(np.bincount(person) > 1)[: most // 2]]
    return np.concatenate(rows)
