import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.adapter import apply_adapter, read_adapter, write_adapter
from facial_rec.loading.refusals import AdapterError
from facial_rec.loading.weights import read_weights
from facial_rec.networks.edgeface import build

FACTS = {"base_arch": "edgeface_xxs", "base_sha256": "0" * 64, "min_size_px": 6, "max_size_px": 16, "licence": "x"}


@pytest.fixture
def tuned(xxs):
    torch.manual_seed(5)
    state = dict(xxs)
    name = "stages.2.blocks.0.mlp.fc1.weight"
    state[name] = xxs[name] + 0.1 * torch.randn(352, 4) @ torch.randn(4, 88)
    state["stem.0.bias"] = xxs["stem.0.bias"] + 1
    state["stem.0.weight"] = xxs["stem.0.weight"] * 1.5
    kernel = "stages.1.downsample.1.weight"
    state[kernel] = xxs[kernel] + 0.1 * (torch.randn(48, 2) @ torch.randn(2, 96)).view_as(xxs[kernel])
    return state


def test_an_adapter_turns_its_base_into_the_tuned_network(xxs, tuned, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    found = apply_adapter(xxs, read_adapter(tmp_path / "a.safetensors"))
    assert found.keys() == tuned.keys()
    assert all(torch.allclose(found[name], tuned[name], rtol=2e-3, atol=2e-3) for name in tuned)
    assert all(torch.equal(found[name], xxs[name]) for name in tuned if torch.equal(tuned[name], xxs[name]))


def test_half_precision_of_the_change_moves_no_embedding(xxs, tuned, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    networks = [build("edgeface_xxs").eval(), build("edgeface_xxs").eval()]
    networks[0].load_state_dict(tuned)
    networks[1].load_state_dict(apply_adapter(xxs, read_adapter(tmp_path / "a.safetensors")))
    faces = torch.rand(8, 3, 112, 112) * 2 - 1
    with torch.no_grad():
        cosines = torch.nn.functional.cosine_similarity(networks[0](faces), networks[1](faces))
    assert float(cosines.min()) > 0.9999


def test_it_holds_only_what_differs_and_thin_factors_where_they_suffice(xxs, tuned, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    name = "stages.2.blocks.0.mlp.fc1.weight"
    shapes = {key: tuple(tensor.shape) for key, tensor in load_file(tmp_path / "a.safetensors").items()}
    kernel = "stages.1.downsample.1.weight"
    factors = {f"{key}.lora_{side}" for key in (name, kernel) for side in ("up", "down")}
    assert shapes.keys() == {"stem.0.weight", "stem.0.bias"} | factors
    assert shapes[f"{name}.lora_up"] == (352, 4) and shapes[f"{name}.lora_down"] == (4, 88)
    assert shapes[f"{kernel}.lora_up"] == (48, 2) and shapes[f"{kernel}.lora_down"] == (2, 96)


def test_its_facts_are_kept(xxs, tuned, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS | {"metrics": {"accuracy": 0.9}})
    metadata = read_adapter(tmp_path / "a.safetensors").metadata
    assert metadata["version"] == 1 and metadata["metrics"] == {"accuracy": 0.9} and metadata["max_size_px"] == 16


def test_a_converted_copy_of_the_base_is_the_same_base(xxs, tuned, converted, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    faces = torch.rand(2, 3, 112, 112)
    embeddings = [
        EdgeFaceEmbedding(converted[form], adapter=tmp_path / "a.safetensors") for form in ("state_dict", "torchscript")
    ]
    assert torch.allclose(embeddings[0](faces), embeddings[1](faces), atol=1e-6)
    plain = EdgeFaceEmbedding(converted["state_dict"])
    assert not torch.allclose(embeddings[0](faces), plain(faces), atol=1e-3)
    assert embeddings[0].adapter_sha256 is not None and plain.adapter_sha256 is None


def test_another_base_is_refused_with_both_checksums(xxs, tuned, tmp_path):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    other = xxs | {"head.fc.bias": xxs["head.fc.bias"] + 1e-3}
    with pytest.raises(AdapterError, match="made for edgeface_xxs .* file sha256 000000000000"):
        apply_adapter(other, read_adapter(tmp_path / "a.safetensors"))


def test_every_weight_may_differ_in_half_precision(xxs, tmp_path):
    moved = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in xxs.items()}
    write_adapter(tmp_path / "a.safetensors", xxs, moved, FACTS)
    adapter = read_adapter(tmp_path / "a.safetensors")
    assert sum(tensor.nbytes for tensor in adapter.tensors.values()) == 2 * sum(t.numel() for t in xxs.values())
    for name, tensor in apply_adapter(xxs, adapter).items():
        torch.testing.assert_close(tensor, moved[name].half().float())


def test_no_change_and_other_tensors_are_refused(xxs, tmp_path):
    with pytest.raises(AdapterError, match="equals its base"):
        write_adapter(tmp_path / "a.safetensors", xxs, dict(xxs), FACTS)
    with pytest.raises(AdapterError, match="different tensors"):
        write_adapter(tmp_path / "a.safetensors", xxs, {"x": torch.ones(1)}, FACTS)


def test_what_is_no_adapter_is_named(xxs, converted, tmp_path):
    with pytest.raises(AdapterError, match="no adapter; if it is a whole EdgeFace"):
        read_adapter(converted["safetensors"])
    save_file({"a": torch.ones(1)}, tmp_path / "b.safetensors")
    with pytest.raises(AdapterError, match="no adapter"):
        read_adapter(tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"hello")
    with pytest.raises(AdapterError, match="not a readable adapter"):
        read_adapter(tmp_path / "c.safetensors")
    with pytest.raises(AdapterError, match="no such"):
        read_adapter(tmp_path / "d.safetensors")


@pytest.mark.parametrize("damage", ["shape", "name", "factor", "nan"])
def test_a_damaged_adapter_is_refused(damage, xxs, tuned, tmp_path):
    path = tmp_path / "a.safetensors"
    write_adapter(path, xxs, tuned, FACTS)
    adapter = read_adapter(path)
    name = "stages.2.blocks.0.mlp.fc1.weight"
    changes = {
        "shape": {"stem.0.bias": torch.ones(3)},
        "name": {"stem.9.bias": torch.ones(3)},
        "factor": {f"{name}.lora_down": torch.ones(4, 9)},
        "nan": {"stem.0.bias": torch.full((24,), float("nan"))},
    }
    save_file(adapter.tensors | changes[damage], path, {"edgeface_adapter": json.dumps(adapter.metadata)})
    with pytest.raises(AdapterError):
        apply_adapter(xxs, read_adapter(path))


def test_reading_leaves_the_base_untouched(xxs, tuned, tmp_path, xxs_file):
    write_adapter(tmp_path / "a.safetensors", xxs, tuned, FACTS)
    weights = read_weights(xxs_file)
    apply_adapter(weights.state_dict, read_adapter(tmp_path / "a.safetensors"))
    assert all(torch.equal(weights.state_dict[name], xxs[name]) for name in xxs)
