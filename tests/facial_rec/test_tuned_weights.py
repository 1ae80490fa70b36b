import pytest
import timm
import torch
from torch import nn

from facial_rec.finetuning.tuned_weights import Tune, drop_paths, merged_state, prepare_tuning
from facial_rec.loading.refusals import MismatchError
from facial_rec.networks.ldc import LDCNet


def network() -> nn.Module:
    torch.manual_seed(0)
    net = timm.create_model("edgenext_xx_small")
    net.reset_classifier(512)
    return net.eval()


def learning(net: nn.Module) -> set[str]:
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


def test_each_choice_frees_the_weights_it_names() -> None:
    every = {name for name, _ in network().named_parameters()}
    assert learning(prepare_tuning(network(), "all")) == every
    early, late = learning(prepare_tuning(network(), "early")), learning(prepare_tuning(network(), "late"))
    assert early | late == every and not early & late and any(name.startswith("stages.0") for name in early)
    norms = learning(prepare_tuning(network(), "norms"))
    assert norms and all(
        parameter.ndim < 2 or "temperature" in name for name, parameter in network().named_parameters() if name in norms
    )


@pytest.mark.parametrize("tune", ["lowrank", "branch"])
def test_new_weights_are_on_the_device_of_the_network(tune: Tune) -> None:
    tuned = prepare_tuning(network().to("meta"), tune)
    assert {parameter.device.type for parameter in tuned.parameters()} == {"meta"}
    assert tuned(torch.zeros(2, 3, 112, 112, device="meta")).shape == (2, 512)


def test_low_rank_products_start_at_zero_and_merge_into_plain_weights() -> None:
    plain, faces = network(), torch.randn(2, 3, 112, 112)
    adapted = prepare_tuning(network(), "lowrank", rank=4)
    torch.testing.assert_close(adapted(faces), plain(faces))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn_like(parameter))
    merged = network()
    merged.load_state_dict(merged_state(adapted))
    torch.testing.assert_close(merged(faces), adapted(faces))
    assert not torch.allclose(merged(faces), plain(faces))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) < 0.2 * sum(
        p.numel() for p in plain.parameters()
    )


def test_a_matrix_that_is_smaller_than_a_product_learns_whole() -> None:
    tuned = prepare_tuning(network(), "lowrank", rank=100)
    linears = [module for module in tuned.modules() if isinstance(module, nn.Linear)]
    assert linears and all(any(each.requires_grad for each in module.parameters()) for module in linears)


@pytest.mark.parametrize("tune", ["early", "late", "lowrank", "branch"])
def test_what_an_ldc_network_does_not_have_is_refused(tune: Tune) -> None:
    with pytest.raises(MismatchError, match=f"--tune {tune}"):
        prepare_tuning(LDCNet().to("meta"), tune)
    assert len(learning(prepare_tuning(LDCNet().to("meta"), "norms"))) > 20


def test_depth_is_stochastic_in_training_alone() -> None:
    plain, dropped, faces = network(), network(), torch.randn(2, 3, 112, 112)
    drop_paths(dropped, 0.5)
    torch.testing.assert_close(dropped(faces), plain(faces))
    dropped.train()
    assert not torch.allclose(dropped(faces), dropped(faces))
    assert dropped.state_dict().keys() == plain.state_dict().keys()
    with pytest.raises(MismatchError, match="--drop-path"):
        drop_paths(LDCNet().to("meta"), 0.5)
