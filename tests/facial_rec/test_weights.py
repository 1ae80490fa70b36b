import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from facial_rec.loading.checksum import contents_sha256
from facial_rec.loading.refusals import DamagedError, MismatchError
from facial_rec.loading.saving import save_finetuned, save_weights
from facial_rec.loading.weights import load_network, read_weights
from facial_rec.networks.edgeface import ARCHITECTURES

ALL = [*ARCHITECTURES, "edgeface_xs_gamma_045", "edgeface_xs_gamma_06_full_head"]
PREFIXES = ["", "module.", "model.", "backbone.", "_orig_mod.", "module._orig_mod.model."]
DTYPES = {"float32": 1 - 1e-6, "float16": 0.99999, "bfloat16": 0.999}


def same(state, expected):
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)


def cosine(one, other):
    faces = torch.rand(4, 3, 112, 112, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        return float(F.cosine_similarity(one(faces), other(faces)).min())


@pytest.mark.parametrize("arch", ALL)
def test_every_variant_is_recognised_and_read_whole_from_its_tensors_alone(arch, networks, tmp_path):
    torch.save(networks(arch).state_dict(), tmp_path / "some_name.bin")
    weights = read_weights(tmp_path / "some_name.bin")
    assert weights.arch == arch and weights.dtype == "float32"
    assert same(weights.state_dict, networks(arch).state_dict())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("arch", ["edgeface_xxs", "edgeface_xs_gamma_06", "edgeface_s"])
def test_precisions_survive_every_container_of_tensors(arch, container, dtype, networks, tmp_path):
    network = networks(arch)
    half = getattr(torch, dtype)
    state = {name: t.to(half) if t.is_floating_point() else t for name, t in network.state_dict().items()}
    path = tmp_path / "weights"
    if container == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=container == "zip")
    weights = read_weights(path)
    assert weights.dtype == dtype
    assert same(weights.state_dict, {name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    assert cosine(load_network(weights), network) > DTYPES[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["state_dict", "safetensors", "torchscript", "pt2"])
@pytest.mark.parametrize("arch", ALL)
def test_every_variant_survives_every_container_that_is_written(arch, form, dtype, networks, tmp_path):
    torch.save({f"model.{name}": tensor for name, tensor in networks(arch).state_dict().items()}, tmp_path / "a.pt")
    save_weights(tmp_path / "b", read_weights(tmp_path / "a.pt"), form, dtype)
    weights = read_weights(tmp_path / "b")
    assert weights.arch == arch
    assert cosine(load_network(weights), networks(arch)) > DTYPES[dtype]


@pytest.mark.parametrize("form", ["state_dict", "safetensors", "torchscript", "pt2"])
def test_the_containers_that_are_written_are_read_back_exactly(form, converted, xxs):
    assert same(read_weights(converted[form]).state_dict, xxs)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("container", ["zip", "safetensors"])
def test_prefixes_are_taken_off(prefix, container, xxs, tmp_path):
    state = {prefix + name: tensor for name, tensor in xxs.items()}
    path = tmp_path / "weights"
    save_file(state, path) if container == "safetensors" else torch.save(state, path)
    assert same(read_weights(path).state_dict, xxs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {0: torch.ones(9)}}},
        lambda state: {"model_state_dict": state},
        lambda state: {"backbone_state_dict": state},
        lambda state: {"ema": state, "model": {name: tensor * 0 for name, tensor in state.items()}},
        lambda state: {"model": {"ema": {"state_dict": state}}},
        lambda state: OrderedDict({"state_dict": OrderedDict(state)}),
    ],
)
def test_wrapped_checkpoints_are_unwrapped(wrap, xxs, tmp_path):
    torch.save(wrap(xxs), tmp_path / "checkpoint.pth")
    assert same(read_weights(tmp_path / "checkpoint.pth").state_dict, xxs)


def test_training_heads_are_left_out_by_name(xxs, tmp_path):
    beside = {"head.kernel": torch.ones(512, 10), "margin.weight": torch.ones(10, 512)}
    torch.save({f"backbone.{name}": tensor for name, tensor in xxs.items()} | beside, tmp_path / "a.pt")
    weights = read_weights(tmp_path / "a.pt")
    assert set(weights.ignored) == set(beside) and same(weights.state_dict, xxs)
    torch.save(xxs | {"arcface.weight": torch.ones(10, 512)}, tmp_path / "b.pt")
    assert read_weights(tmp_path / "b.pt").ignored == ("arcface.weight",)


def test_a_fine_tuned_checkpoint_says_so_and_keeps_its_metadata(xxs, tmp_path):
    save_finetuned(tmp_path / "tuned.pth", "edgeface_xxs", xxs, {"epochs": 3})
    weights = read_weights(tmp_path / "tuned.pth")
    assert weights.kind == "fine-tuned" and weights.metadata["epochs"] == 3
    plain = torch.load(tmp_path / "tuned.pth", weights_only=True)
    assert plain["format"] == "edgeface-finetuned" and plain["version"] == 1 and plain["arch"] == "edgeface_xxs"


def test_a_fine_tuned_checkpoint_whose_tensors_changed_is_refused(xxs, tmp_path):
    save_finetuned(tmp_path / "tuned.pth", "edgeface_xxs", xxs, {})
    checkpoint = torch.load(tmp_path / "tuned.pth", weights_only=True)
    checkpoint["backbone_state_dict"]["head.fc.bias"][0] += 1e-6
    torch.save(checkpoint, tmp_path / "altered.pth")
    with pytest.raises(DamagedError, match="checksum"):
        read_weights(tmp_path / "altered.pth")


def test_arch_only_checks_what_the_tensors_show(xxs_file):
    assert read_weights(xxs_file, "edgeface_xxs_q").arch == "edgeface_xxs"
    with pytest.raises(MismatchError, match="edgeface_xxs, not edgeface_base"):
        read_weights(xxs_file, "edgeface_base")


def test_a_full_head_passes_for_the_gamma_variant_of_its_ratio(networks, tmp_path):
    torch.save(networks("edgeface_xs_gamma_06_full_head").state_dict(), tmp_path / "a.pt")
    assert read_weights(tmp_path / "a.pt", "edgeface_xs_gamma_06").arch == "edgeface_xs_gamma_06_full_head"


def test_old_batch_norms_without_step_counters_load(networks, tmp_path):
    state = {n: t for n, t in networks("edgeface_s").state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    assert cosine(load_network(read_weights(tmp_path / "old.pt")), networks("edgeface_s")) > 1 - 1e-6


def quantised_state(xxs, layout):
    """The network's linears as torch's three versions of quantised linears stored them."""
    state = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linears = {name[: -len(".weight")] for name, tensor in xxs.items() if tensor.dim() == 2}
        for name, tensor in xxs.items():
            linear, _, part = name.rpartition(".")
            if linear not in linears:
                state[name] = tensor
            if linear not in linears or part != "weight":
                continue
            packed = torch.quantize_per_tensor(tensor, float(tensor.abs().max() / 127), 0, torch.qint8)
            bias = xxs[linear + ".bias"]
            state |= {linear + ".scale": torch.tensor(1.0), linear + ".zero_point": torch.tensor(0)}
            if layout == 1:
                state |= {name: packed, linear + ".bias": bias}
            elif layout == 2:
                inner = linear + "._packed_params."
                state |= {inner + "weight": packed, inner + "bias": bias, inner + "dtype": torch.qint8}
            else:
                inner = linear + "._packed_params."
                state |= {inner + "dtype": torch.qint8, inner + "_packed_params": (packed, bias)}
    return state


@pytest.mark.parametrize("layout", [1, 2, 3])
def test_every_layout_of_quantised_linears_is_dequantised(layout, xxs, tmp_path):
    state = quantised_state(xxs, layout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({f"model.{name}": value for name, value in state.items()}, tmp_path / "q.pt")
    weights = read_weights(tmp_path / "q.pt")
    assert weights.kind == "dynamically quantised" and weights.dtype == "qint8"
    for name, tensor in xxs.items():
        step = float(tensor.abs().max() / 127) if tensor.dim() == 2 else 0.0
        assert float((weights.state_dict[name] - tensor).abs().max()) <= step / 2 + 1e-7


@pytest.mark.parametrize("name", ["edgeface_xxs_q", "edgeface_xs_q"])
def test_official_files_equal_an_independent_dequantisation(name, shared):
    path = shared / "weights" / f"{name}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = torch.load(path, weights_only=True)
    weights = read_weights(path, name)
    assert weights.official == f"{name}.pt" and len(weights.state_dict) == len(weights.state_dict.keys())
    seen = 0
    for key, value in stored.items():
        if isinstance(value, tuple):
            linear = key.removeprefix("model.").removesuffix("._packed_params._packed_params")
            integers, scale = value[0].int_repr().numpy().astype(np.float64), value[0].q_scale()
            expected = torch.from_numpy(((integers - value[0].q_zero_point()) * scale).astype(np.float32))
            assert torch.allclose(weights.state_dict[f"{linear}.weight"], expected, rtol=1e-6, atol=0)
            assert value[1] is None or torch.equal(weights.state_dict[f"{linear}.bias"], value[1].detach())
            seen += 1
    assert seen > 20


def test_contents_have_one_checksum_in_every_container(converted):
    checksums = {contents_sha256(read_weights(path).state_dict) for path in converted.values()}
    assert len(checksums) == 1


def test_tensors_that_share_memory_in_the_file_do_not_share_it_afterwards(xxs, tmp_path):
    flat = torch.cat([xxs["head.fc.bias"], xxs["head.fc.bias"]])
    torch.save(xxs | {"head.fc.bias": flat[:512], "arcface.weight": flat[512:]}, tmp_path / "a.pt")
    state = read_weights(tmp_path / "a.pt").state_dict
    assert same(state, xxs) and all(each.untyped_storage().nbytes() == each.nbytes for each in state.values())


@pytest.mark.parametrize("write", [torch.save, save_file])
def test_a_file_may_be_replaced_after_reading(write, xxs, tmp_path):
    write(xxs, tmp_path / "a.pt")
    weights = read_weights(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(b"\0" * 100)
    assert same(weights.state_dict, xxs)
