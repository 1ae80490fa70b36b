"""Fixtures that tests of what runs on devices share."""

import json
from pathlib import Path

import pytest
import torch

from dsr.network import DSR
from facial_rec.networks.edgeface import build
from pipeline.deployment.deployed_networks import DeployedNetworks


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
    from pipeline.deployment.onnx_graph import onnx_chain

    path = tmp_path_factory.mktemp("model") / "recogniser.onnx"
    onnx.save(onnx_chain(deployed), path)
    return with_threshold(path, path, 0.3)


@pytest.fixture(scope="session")
def undecided_model(onnx_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same file, as an export leaves it that could measure no threshold."""
    return with_threshold(onnx_model, tmp_path_factory.mktemp("undecided") / "recogniser.onnx", None)


def with_threshold(path: Path, target: Path, threshold: float | None) -> Path:
    """Write a model with other metadata."""
    import onnx

    model = onnx.load(path)
    metadata = {"model": "f" * 64, "threshold": threshold, "precision": "fp32"}
    onnx.helper.set_model_props(model, {"dsr_edgeface": json.dumps(metadata)})
    onnx.save(model, target)
    return target
