"""Faces to unit embeddings with onnxruntime alone: what `Recognizer` does, without torch on the machine."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.views.resolution import at_own_resolution
from engine.errors import UserError

METADATA_KEY = "dsr_edgeface"
FACE_PX = 112

Floats = NDArray[np.float32]


class OnnxModelError(UserError):
    """A file that is no exported recogniser, or a machine without onnxruntime."""


class OnnxRecognizer:
    """Embeds faces of any size.

    Args:
        path: A file written by `python -m pipeline export --format onnx`.
        flip: Add the embedding of the mirror image, then normalise.
        threads: Threads that onnxruntime may use.

    Attributes:
        path: The file.
        metadata: What the export wrote into it: sizes, preprocessing, hashes, thresholds, licence.

    Raises:
        OnnxModelError: Missing, damaged, or not such a file.
    """

    def __init__(self, path: str | Path, flip: bool = True, threads: int = 1) -> None:
        self.path = Path(path)
        self.flip = flip
        self._session = open_session(self.path, threads)
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise OnnxModelError(f"{path}: an ONNX file, but not an exported recogniser; make one: pipeline export")
        self.metadata: dict[str, Any] = json.loads(text)

    @property
    def model(self) -> str:
        """Hash of the networks and their precision: embeddings compare only within one model."""
        return str(self.metadata["model"])

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files that it was exported from, by role."""
        return dict(self.metadata.get("hashes", {}))

    @property
    def threshold(self) -> float:
        """Lowest similarity that is taken for the same person; measured by the export, see its metadata.

        Raises:
            OnnxModelError: The export could not measure one.
        """
        stored = self.metadata.get("threshold")
        if stored is None:
            raise OnnxModelError(f"{self.path}: holds no threshold, its export could not measure one; pass --threshold")
        return float(stored)

    def embed(self, faces: Floats) -> Floats:
        """Return unit embeddings.

        Args:
            faces: (B, 3, h, w) RGB float in [0, 1], of one size; a face that shows no more than 32 px would is shrunk
                to that first.

        Returns:
            (B, 512) float32, each of length 1.
        """
        return at_own_resolution(faces, self._embed)

    def _embed(self, faces: Floats) -> Floats:
        views = [faces, np.ascontiguousarray(faces[..., ::-1])] if self.flip else [faces]
        total = np.sum([self._run("embeddings", view) for view in views], axis=0)
        return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)

    def restore(self, faces: Floats) -> Floats:
        """Return what EdgeFace sees, (B, 3, 112, 112) in [0, 1]: the restored face, or a large one as it is."""
        return at_own_resolution(faces, partial(self._run, "restored"))

    def _run(self, output: str, faces: Floats) -> Floats:
        if max(faces.shape[-2:]) > FACE_PX:
            faces = shrink_to_face(faces)
        result: Floats = self._session.run([output], {"faces": np.ascontiguousarray(faces, np.float32)})[0]
        return result


def shrink_to_face(faces: Floats) -> Floats:
    """Shrink larger faces (B, 3, h, w) in [0, 1] to 112x112: bicubic with antialiasing, as the torch backend does."""
    size = (FACE_PX, FACE_PX)
    planes = [
        np.asarray(Image.fromarray(plane, mode="F").resize(size, Image.Resampling.BICUBIC))
        for plane in np.ascontiguousarray(faces, np.float32).reshape(-1, *faces.shape[2:])
    ]
    return np.stack(planes).reshape(len(faces), 3, *size).clip(0, 1)


def open_session(path: Path, threads: int) -> Any:
    """Open an ONNX file on the processor.

    Raises:
        OnnxModelError: It is missing or damaged, or onnxruntime is.
    """
    try:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf
    except ImportError:
        raise OnnxModelError("the onnx backend needs onnxruntime; install the extra `onnx`") from None
    if not path.is_file():
        whole = path.with_suffix(".onnx")
        raise OnnxModelError(f"{path}: no such model; make one with python -m pipeline export --out {whole}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf) as error:
        reason = " ".join(str(error).split())
        newer = re.search(r"IR version|opset", reason)
        mend = f"update onnxruntime, here {onnxruntime.__version__}" if newer else "export it again or copy it again"
        raise OnnxModelError(f"{path}: onnxruntime cannot read it; {mend} ({reason})") from None
