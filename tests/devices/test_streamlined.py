"""With fewer operations the same comes out, for every architecture."""

import pytest
import torch

from dataset.views.degrade import enlarge
from dsr.network import DSR, PRESETS
from facial_rec.networks.edgeface import build
from pipeline.deployment.exportable_chain import Embed, Enlarge
from pipeline.deployment.streamlined import streamlined_dsr, streamlined_embed

FACES = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0))


def shaken(network: torch.nn.Module, by: float) -> torch.nn.Module:
    """Every parameter away from zero and one, so that none of them can be forgotten unnoticed."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data += by * torch.randn_like(parameter)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("fold_scales", [True, False])
@pytest.mark.parametrize("arch", ["edgeface_xxs", "edgeface_xs", "edgeface_xs_gamma_06", "edgeface_s"])
def test_an_edgeface_embeds_as_before_and_is_itself_untouched(arch: str, fold_scales: bool) -> None:
    network = shaken(build(arch), 0.05)
    wanted = Embed(network)(FACES)
    torch.testing.assert_close(streamlined_embed(network, fold_scales)(FACES), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(Embed(network)(FACES), wanted, atol=0, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("preset", PRESETS)
def test_a_super_resolver_restores_as_before_and_is_itself_untouched(preset: str) -> None:
    dsr = shaken(DSR(preset), 0.01)
    wanted = dsr(FACES)
    assert (wanted - FACES).abs().mean() > 0.002
    torch.testing.assert_close(streamlined_dsr(dsr)(FACES), wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(dsr(FACES), wanted, atol=0, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("size", [(2, 2), (6, 6), (7, 9), (16, 16), (31, 33), (112, 112)])
def test_enlarging_by_matrices_is_bicubic_interpolation(size: tuple[int, int]) -> None:
    faces = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(Enlarge()(faces), enlarge(faces, 112), atol=1e-5, rtol=0)
