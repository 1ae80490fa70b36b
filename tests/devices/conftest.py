"""Fixtures that tests of what runs on devices share."""

import json
from pathlib import Path

import pytest
import torch

from dsr.network import DSR
from facial_rec.edgeface import build
from pipeline.deployment.deployed import DeployedNetworks


@pytest.fixture(scope="session")
def deployed() -> DeployedNetworks:
    """Small networks of random weights: what they recognise is noise, that both backends agree is not."""
    torch.set_num_threads(1)  # as in the other tests' processes: threads that wait for each other cost most here
    torch.manual_seed(0)
    dsr, edgeface = DSR("small").eval(), build("edgeface_xxs").eval()
    torch.nn.init.normal_(dsr.tail.weight, std=0.02)
    return DeployedNetworks(dsr, edgeface, edgeface, {"edgeface": "0" * 64})


@pytest.fixture(scope="session")
def onnx_model(deployed: DeployedNetworks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks as an exported file."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    from pipeline.deployment.onnx_chain import onnx_chain

    model = onnx_chain(deployed)
    metadata = {"model": "f" * 64, "threshold": 0.3, "precision": "fp32"}
    onnx.helper.set_model_props(model, {"dsr_edgeface": json.dumps(metadata)})
    path = tmp_path_factory.mktemp("model") / "recogniser.onnx"
    path.write_bytes(model.SerializeToString())
    return path
