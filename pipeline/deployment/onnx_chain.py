"""The deployed networks as one ONNX graph in the wanted precision."""

import numpy as np
import onnx
from numpy.typing import NDArray

from dataset.views.resolution import LARGEST_VLR_PX
from pipeline.deployment.chain import Enlarge
from pipeline.deployment.deployed import DeployedNetworks
from pipeline.deployment.onnx_difference import as_difference
from pipeline.deployment.onnx_graph import compose, to_onnx
from pipeline.deployment.onnx_precision import calibrated, narrowed
from pipeline.deployment.streamlined import streamlined_dsr, streamlined_embed

Floats = NDArray[np.float32]


def onnx_chain(networks: DeployedNetworks, precision: str = "fp32", canvases: Floats | None = None) -> onnx.ModelProto:
    """Return the graph that `OnnxRecognizer` runs.

    Args:
        networks: In evaluation mode.
        precision: "fp32", "fp16" or "int8".
        canvases: (N, 3, 112, 112) enlarged training faces, by which int8 chooses its ranges.
    """
    dsr, enlarge = onnx_dsr(networks, precision, canvases), to_onnx(Enlarge(), None)
    if networks.large is networks.small:
        small = large = onnx_embed(networks, precision)
    else:
        tuned, base = (to_onnx(streamlined_embed(each, fold_scales=False)) for each in (networks.small, networks.large))
        small, large = narrowed(as_difference(tuned, base), precision), narrowed(base, precision)
    return compose(enlarge, dsr, small, large, LARGEST_VLR_PX)


def onnx_embed(networks: DeployedNetworks, precision: str) -> onnx.ModelProto:
    """Return EdgeFace for small faces: (B, 3, 112, 112) RGB in [0, 1] to unit embeddings."""
    return narrowed(to_onnx(streamlined_embed(networks.small)), precision)


def onnx_dsr(networks: DeployedNetworks, precision: str, canvases: Floats | None) -> onnx.ModelProto | None:
    """Return the super-resolver, (B, 3, 112, 112) in [0, 1] to the same, or None without one."""
    if networks.dsr is None:
        return None
    model = to_onnx(streamlined_dsr(networks.dsr))
    if precision == "int8" and canvases is not None:
        model = calibrated(model, canvases)
    return narrowed(model, precision)
