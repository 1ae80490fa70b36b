import pytest
import timm
import torch
from torch import nn

from facial_rec.loading.refusals import MismatchError
from facial_rec.networks.edgeface import (
    ARCHITECTURES,
    EDGENEXT_WIDTHS,
    LowRankLinear,
    architecture_named,
    build,
    expected_shapes,
    name_of,
    rank_for,
    skeleton,
    stage_outputs,
)

# Published, in millions: EdgeFace's table 2; the quantised files hold the other two.
PUBLISHED = {
    "edgeface_xxs": 1.24,
    "edgeface_xs": 2.24,
    "edgeface_xs_gamma_06": 1.77,
    "edgeface_s_gamma_05": 3.65,
    "edgeface_base": 18.23,
}


@pytest.mark.parametrize("arch", PUBLISHED)
def test_each_variant_has_the_published_number_of_parameters(arch):
    network = skeleton(architecture_named(arch))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2) == PUBLISHED[arch]


@pytest.mark.parametrize(
    "arch", [*ARCHITECTURES, "edgeface_xs_gamma_045", "edgeface_base_gamma_03", "edgeface_xs_gamma_06_full_head"]
)
def test_every_name_leads_to_its_architecture_and_back(arch):
    assert name_of(architecture_named(arch)) == arch


def test_a_quantised_files_name_is_the_variant_that_was_quantised():
    assert architecture_named("edgeface_xxs_q") == architecture_named("edgeface_xxs")


@pytest.mark.parametrize("arch", ["edgeface_xl", "edgeface_xs_gamma", "", "edgenext_xx_small"])
def test_an_unknown_variant_is_refused_with_the_known_ones(arch):
    with pytest.raises(MismatchError, match="edgeface_xxs"):
        build(arch)


def test_a_factored_linear_is_the_product_of_its_two_factors():
    layer = LowRankLinear(8, 6, 3, bias=True)
    x = torch.randn(4, 8)
    whole = nn.functional.linear(x, layer.linear2.weight @ layer.linear1.weight, layer.linear2.bias)
    assert torch.allclose(layer(x), whole, atol=1e-6)
    assert layer.linear1.bias is None


def test_ranks_follow_the_papers_rule_and_never_fall_below_two():
    assert [rank_for(100, 400, 0.6), rank_for(3, 9, 0.1), rank_for(352, 88, 0.5)] == [60, 2, 44]


@pytest.mark.parametrize("arch", ["edgeface_xs_gamma_06", "edgeface_xs_gamma_06_full_head"])
def test_the_head_is_factored_unless_the_name_says_otherwise(arch):
    names = skeleton(architecture_named(arch)).state_dict()
    assert ("head.fc.weight" in names) == arch.endswith("full_head")
    assert all(".linear1." in name for name in names if name.endswith("mlp.fc1.linear1.weight"))


def test_the_older_network_has_the_tensors_of_its_published_file():
    state = skeleton(architecture_named("edgeface_s")).state_dict()
    assert tuple(state["features.0.conv.weight"].shape) == (32, 3, 3, 3)
    assert tuple(state["features.1.conv_1x1_in.conv.weight"].shape) == (64, 32, 1, 1)
    assert tuple(state["features.6.conv_dw.conv.weight"].shape) == (256, 1, 3, 3)
    assert tuple(state["features.13.weight"].shape) == (512, 25088)
    assert "features.13.bias" not in state and "features.14.running_mean" in state


@pytest.mark.parametrize(
    ("arch", "shapes"),
    [
        ("edgeface_xxs", [(24, 28), (48, 14), (88, 7), (168, 3)]),
        ("edgeface_s", [(32, 56), (64, 28), (128, 14), (256, 7)]),
    ],
)
def test_stage_outputs_are_four_maps_ever_coarser(arch, shapes, networks):
    maps = stage_outputs(networks(arch), torch.zeros(2, 3, 112, 112))
    assert [tuple(each.shape) for each in maps] == [(2, width, size, size) for width, size in shapes]


def test_the_last_stage_output_is_what_the_head_reads(networks):
    network, faces = networks("edgeface_xxs"), torch.rand(2, 3, 112, 112)
    head = network.get_submodule("head")(network.get_submodule("norm_pre")(stage_outputs(network, faces)[-1]))
    assert torch.allclose(head, network(faces), atol=1e-5)


@pytest.mark.parametrize("network", EDGENEXT_WIDTHS)
def test_the_widths_that_tell_networks_apart_are_those_of_timm(network):
    stages = timm.create_model(network, num_classes=512).stages
    assert tuple(len(stage.blocks[0].gamma) for stage in stages) == EDGENEXT_WIDTHS[network]


@pytest.mark.parametrize("arch", ["edgeface_xxs", "edgeface_xs_gamma_06", "edgeface_s"])
def test_a_skeleton_has_the_tensors_of_the_network(arch):
    expected = {name: tuple(tensor.shape) for name, tensor in build(arch).state_dict().items()}
    assert expected_shapes(architecture_named(arch)) == expected


def test_a_skeleton_holds_no_memory():
    assert all(parameter.is_meta for parameter in skeleton(architecture_named("edgeface_base")).parameters())
