import pytest
import torch

from dsr.network import DSR, PRESETS


def faces(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", PRESETS)
def test_an_untrained_network_returns_the_canvas(preset: str) -> None:
    torch.testing.assert_close(DSR(preset)(faces()), faces())


def perturbed() -> DSR:
    torch.manual_seed(0)
    model = DSR("small")
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    return model


def test_the_output_is_in_range_and_the_same_with_and_without_gradients() -> None:
    model = perturbed()
    with_gradients = model(faces())
    with torch.no_grad():
        without = model.eval()(faces())
    torch.testing.assert_close(with_gradients.detach(), without)
    assert without.min() >= 0 and without.max() <= 1 and (without == 1).any()


def test_gradients_pass_where_the_output_is_clamped() -> None:
    model, canvas = perturbed(), faces()
    restored = model(canvas)
    restored.retain_grad()
    clamped = (restored == 1) | (restored == 0)
    restored[clamped].sum().backward()
    assert clamped.any() and model.tail.bias.grad is not None and model.tail.bias.grad.abs().sum() > 0


def test_every_weight_learns_after_the_first_step() -> None:
    model = perturbed()
    model(faces()).square().sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_a_face_is_restored_alike_in_any_batch() -> None:
    model = perturbed().eval()
    torch.testing.assert_close(model(faces(3))[1:2], model(faces(3)[1:2]), atol=1e-5, rtol=1e-5)


def test_a_change_in_one_corner_reaches_the_opposite_one() -> None:
    model, canvas = perturbed().eval(), faces(1).requires_grad_(True)
    model(canvas)[0, :, -1, -1].sum().backward()
    assert canvas.grad is not None and canvas.grad[0, :, :8, :8].abs().sum() > 0


def test_the_base_network_fits_two_megabytes_in_half_precision() -> None:
    assert sum(p.numel() for p in DSR("base").parameters()) * 2 < 1.95e6


def test_grey_faces_stay_grey_and_colours_keep_their_differences() -> None:
    model, grey = perturbed().eval(), (0.4 + 0.2 * faces()[:, :1]).expand(-1, 3, -1, -1)
    with torch.no_grad():
        restored = model(grey)
        assert not torch.allclose(restored, grey, atol=1e-3)
        torch.testing.assert_close(restored, restored[:, :1].expand(-1, 3, -1, -1), atol=1e-6, rtol=0)


def test_the_correction_holds_no_grid_of_the_pixel_shuffle() -> None:
    model, flat = perturbed().eval(), torch.full((1, 3, 112, 112), 0.5)
    torch.nn.init.normal_(model.tail.bias, std=0.2)  # another brightness at each place within a square of 4x4
    with torch.no_grad():
        correction = (model(flat) - flat)[0, 0, 32:-32, 32:-32]
    spectrum = torch.fft.rfft2(correction - correction.mean()).abs()
    count = len(correction)  # periods of 4 and 2 px are the quarters and the half of its frequencies
    grid = max(
        float(spectrum[row, column]) for row in (0, count // 4, count // 2) for column in (0, count // 4, count // 2)
    )
    assert float(correction.abs().max()) > 1e-3 and grid < 1e-3 * count * count * float(correction.abs().mean())
