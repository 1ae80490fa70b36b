"""Checkpoints of other trainers: an EdgeFace under any names and at any depth, beside whatever else is there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facial_rec import convert_weights, inspect_weights
from facial_rec.embedding import EdgeFaceEmbedding
from facial_rec.loading.backbone import find_backbones
from facial_rec.loading.choice import choose
from facial_rec.loading.containers import Container, WeightsFile
from facial_rec.loading.refusals import MismatchError, NotWeightsError
from facial_rec.loading.tensors import RawTensors
from facial_rec.loading.weights import read_weights

PLAIN = st.sampled_from(
    ["state_dict_backbone", "module", "net_state_dict", "student", "teacher", "model", "net_g", "a b", "k.l", "schema"]
)
AVERAGED = st.sampled_from(["ema", "model_ema", "params_ema", "EMAModel", "swa_state_dict", "shadow", "averaged_model"])
PREFIXES = st.sampled_from(["", "module.", "model.", "backbone.encoder.", "_orig_mod."])
BESIDE = {
    "epoch": 3,
    "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
    "state_dict_softmax_fc": {"weight": torch.ones(10, 512)},
    "scheduler": {"milestones": [1, 2], "name": "cosine"},
}


@pytest.fixture(scope="module")
def other(xxs):
    return {name: tensor * 1.25 if tensor.is_floating_point() else tensor for name, tensor in xxs.items()}


def chosen(stored, tmp_path, **asked):
    raw = RawTensors(WeightsFile(tmp_path / "a.pt", Container.CHECKPOINT), stored)
    return choose(find_backbones(raw), **asked).backbone


def same(found, expected):
    return found.keys() == expected.keys() and all(found[name] is expected[name] for name in expected)


def wrapped(state, place, prefix, beside=True):
    stored = {prefix + name: tensor for name, tensor in state.items()}
    for depth, name in enumerate(reversed(place)):
        stored = {**(BESIDE if beside else {}), name: [stored, 1] if depth % 3 == 2 else stored}
    return stored


@settings(deadline=None, max_examples=40)
@given(place=st.lists(PLAIN | AVERAGED, max_size=7), prefix=PREFIXES)
def test_one_whole_edgeface_loads_at_any_depth_under_any_names(place, prefix, xxs, tmp_path_factory):
    assert same(chosen(wrapped(xxs, place, prefix), tmp_path_factory.getbasetemp()).tensors, xxs)


@settings(deadline=None, max_examples=40)
@given(around=st.lists(PLAIN, max_size=2), raw=PLAIN, averaged=AVERAGED, prefix=PREFIXES, first=st.booleans(), flat=...)
def test_of_two_the_averaged_one_is_taken_wherever_it_stands(
    around: list[str], raw: str, averaged: str, prefix: str, first: bool, flat: bool, xxs, other, tmp_path_factory
):
    networks = {averaged: xxs, raw: other} if first else {raw: other, averaged: xxs}
    if flat:
        stored = {f"{name}.{key}": tensor for name, state in networks.items() for key, tensor in state.items()}
    else:
        stored = {name: wrapped(state, [], prefix) for name, state in networks.items()}
    assert same(chosen(wrapped(stored, around, ""), tmp_path_factory.getbasetemp()).tensors, xxs)


@settings(deadline=None, max_examples=40)
@given(names=st.lists(PLAIN, min_size=2, max_size=2, unique=True), around=st.lists(AVERAGED | PLAIN, max_size=2))
def test_where_the_names_do_not_decide_the_places_are_told_and_a_key_chooses(
    names, around, xxs, other, tmp_path_factory
):
    folder = tmp_path_factory.getbasetemp()
    stored = wrapped({}, [], "") | {names[0]: xxs, names[1]: other}
    stored = wrapped(stored, [f"in_{name}" for name in around], "")
    with pytest.raises(MismatchError, match="2 EdgeFaces") as caught:
        chosen(stored, folder)
    places = [".".join([*(f"in_{name}" if i % 3 != 2 else f"in_{name}.0" for i, name in enumerate(around)), name])
              for name in names]  # fmt: skip
    assert all(place in str(caught.value) for place in places) and "--key" in str(caught.value)
    assert same(chosen(stored, folder, key=places[0]).tensors, xxs)
    assert same(chosen(stored, folder, key=names[1]).tensors, other)


def test_a_network_that_is_not_whole_gives_way_to_one_that_is(xxs, other, tmp_path):
    part = {name: tensor for name, tensor in other.items() if not name.startswith("head.")}
    assert same(chosen({"ema": part, "model": xxs}, tmp_path).tensors, xxs)
    with pytest.raises(MismatchError, match="missing"):
        chosen({"ema": part, "model": {"epoch": 1}}, tmp_path)


@pytest.mark.parametrize("name", ["optimizer", "optimizer_states", "exp_avg", "optim"])
def test_the_moments_of_an_optimiser_give_way_to_the_network(name, xxs, other, tmp_path):
    stored = {name: {"exp_avg": other, "exp_avg_sq": xxs}, "exp_avg": other, "model": xxs}
    assert chosen(stored, tmp_path).place == "model"


def test_equal_networks_under_two_names_are_one(xxs, tmp_path):
    copied = {name: tensor.clone() for name, tensor in xxs.items()}
    assert same(chosen({"last": xxs, "best": copied}, tmp_path).tensors, xxs)


def test_the_variant_asked_for_decides_between_variants(xxs, networks, tmp_path):
    base = dict(networks("edgeface_xs_gamma_06").state_dict())
    stored = {"student": xxs, "teacher": base}
    with pytest.raises(MismatchError, match=r"student, teacher"):
        chosen(stored, tmp_path)
    assert same(chosen(stored, tmp_path, arch="edgeface_xs_gamma_06").tensors, base)
    assert chosen(stored, tmp_path, arch="edgeface_xxs").place == "student"


def test_a_loop_in_a_pickle_and_a_value_that_is_no_container_end(xxs, tmp_path):
    loop = {"model": xxs}
    loop["itself"] = [loop]
    torch.save(loop, tmp_path / "a.pt")
    assert read_weights(tmp_path / "a.pt").metadata["place"] == "model"
    for value in (3, "text", torch.ones(3), [], [[torch.ones(2)]], {"epoch": 3}):
        torch.save(value, tmp_path / "b.pt")
        with pytest.raises(NotWeightsError, match="without a state_dict"):
            read_weights(tmp_path / "b.pt")


def test_a_key_that_is_not_there_is_refused_with_those_that_are(xxs, other, tmp_path):
    with pytest.raises(MismatchError, match=r"no network under 'mode'.*takes \., model"):
        chosen({"model": other, **xxs}, tmp_path, key="mode")
    assert same(chosen({"model": other, **xxs}, tmp_path, key=".").tensors, xxs)


def test_commands_take_the_key_and_the_result_is_the_network_alone(xxs, other, tmp_path, capsys):
    torch.save({"student": xxs, "teacher": other}, tmp_path / "two.pt")
    with pytest.raises(SystemExit, match="0"):
        convert_weights.main([str(tmp_path / "two.pt"), str(tmp_path / "one.pt"), "--key", "teacher"])
    found = read_weights(tmp_path / "one.pt").state_dict
    assert all(torch.equal(found[name], other[name]) for name in other)
    with pytest.raises(SystemExit, match="0"):
        inspect_weights.main([str(tmp_path / "two.pt"), "--key", "student"])
    assert "edgeface_xxs" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        inspect_weights.main([str(tmp_path / "two.pt")])
    assert "student, teacher" in capsys.readouterr().err
    assert EdgeFaceEmbedding(tmp_path / "two.pt", key="student").kind == "float state_dict"
