from types import SimpleNamespace

import pytest
import torch

from engine.errors import UserError
from facial_rec.loading import adapter as adapters
from facial_rec.loading.adapter import shipped_adapter, write_adapter
from facial_rec.networks.edgeface import build
from pipeline.default_files import choose_adapter


@pytest.fixture
def original(tmp_path, monkeypatch):
    """A recogniser for which a full and a small adapter ship, and the folder that they lie in."""
    torch.manual_seed(0)
    network = build("edgeface_xxs")
    base = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    facts = {"base_arch": "edgeface_xxs", "base_sha256": "0" * 64, "min_size_px": 6, "max_size_px": 40, "licence": "x"}
    for extent, change in (("full", 1.0), ("small", 0.5)):
        tuned = base | {"stem.0.bias": base["stem.0.bias"] + change}
        write_adapter(tmp_path / f"edgeface_xxs.{extent}.safetensors", base, tuned, facts)
    monkeypatch.setattr(adapters, "SHIPPED", tmp_path)
    return SimpleNamespace(network=network, source="xxs.pt")


@pytest.mark.parametrize(("given", "extent"), [("auto", "full"), ("full", "full"), ("small", "small")])
def test_a_shipped_adapter_is_chosen_by_its_extent(original, given, extent):
    assert choose_adapter(given, original).name == f"edgeface_xxs.{extent}.safetensors"


def test_other_weights_have_no_shipped_adapter(original):
    with torch.no_grad():
        original.network.stem[0].weight.mul_(2)
    assert choose_adapter("auto", original) is None
    with pytest.raises(UserError, match="--adapter small: none ships for xxs.pt"):
        choose_adapter("small", original)


def test_every_shipped_adapter_is_found_for_its_own_base_only():
    names = sorted(path.name for path in adapters.SHIPPED.glob("*.safetensors"))
    assert names == [f"edgeface_{kind}.safetensors" for kind in ("xs.full", "xxs.full", "xxs.small")]
    bases = [adapters.read_adapter(adapters.SHIPPED / name).metadata["base_contents_sha256"] for name in names]
    assert bases[0] != bases[1] == bases[2]
    assert shipped_adapter(build("edgeface_xxs").state_dict()) is None
