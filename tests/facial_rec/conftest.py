"""Small real files of every kind, made once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facial_rec.loading.saving import save_weights
from facial_rec.loading.weights import Weights, read_weights
from facial_rec.networks.edgeface import build


def scattered(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every tensor a value of its own, so that swapping or losing any of them shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.03)
                tensor.abs_() if tensor.dim() == 1 and (tensor > 0.5).any() else None
    return network.eval()


@pytest.fixture(scope="session")
def networks() -> Callable[[str], nn.Module]:
    """Networks of any variant, made once each."""
    made: dict[str, nn.Module] = {}

    def network(arch: str) -> nn.Module:
        if arch not in made:
            torch.manual_seed(1)
            made[arch] = scattered(build(arch))
        return made[arch]

    return network


@pytest.fixture(scope="session")
def xxs(networks: Callable[[str], nn.Module]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in networks("edgeface_xxs").state_dict().items()}


@pytest.fixture(scope="session")
def xxs_file(tmp_path_factory: pytest.TempPathFactory, xxs: dict[str, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("xxs") / "edgeface_xxs.pt"
    torch.save(xxs, path)
    return path


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, xxs_file: Path) -> dict[str, Path]:
    """The same network in every container that this project writes."""
    folder = tmp_path_factory.mktemp("converted")
    weights = read_weights(xxs_file)
    files = {"state_dict": "a.pt", "safetensors": "a.safetensors", "torchscript": "a.ts", "pt2": "a.pt2"}
    for form, name in files.items():
        save_weights(folder / name, weights, form)  # type: ignore[arg-type]
    return {form: folder / name for form, name in files.items()}


@pytest.fixture
def with_state(xxs_file: Path) -> Callable[[dict[str, Tensor]], Weights]:
    return lambda state: replace(read_weights(xxs_file), state_dict=state)
