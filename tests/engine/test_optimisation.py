import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.checkpoint import CheckpointError
from engine.device import DeviceError, make_accelerator, pick_device
from engine.optimisation import MOST_SKIPPED, NonFiniteLossError, Optimisation, Training

SETTINGS = Optimisation(steps=20, rate=0.05, warmup_steps=3, weight_decay=0.01, clip_norm=1.0, ema_decay=0.9)


def fresh(width: int = 3) -> Training:
    torch.manual_seed(0)
    return Training(nn.Linear(width, 1), SETTINGS, make_accelerator(torch.device("cpu"), "fp32"))


def advance(training: Training, steps: int) -> None:
    for _ in range(steps):
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(training.step))
        training.update((training.model(inputs) - inputs.sum(1, keepdim=True)).square().mean())


def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit() -> None:
    whole, first, second = fresh(), fresh(), fresh()
    advance(whole, 20)
    advance(first, 7)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    advance(second, 13)
    for name, value in whole.state_dict()["model"].items():
        assert torch.equal(value, second.state_dict()["model"][name])
    for name, value in whole.state_dict()["ema"].items():
        assert torch.equal(value, second.state_dict()["ema"][name])


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    training = fresh()
    rates = []
    for _ in range(20):
        rates.append(training.rate)
        advance(training, 1)
    assert rates[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert training.rate == pytest.approx(0.0005)


def test_the_rate_is_that_of_the_place_in_the_schedule_also_of_a_longer_one() -> None:
    torch_own = torch.optim.AdamW(torch.nn.Linear(1, 1).parameters(), lr=0.05)
    rise = torch.optim.lr_scheduler.LinearLR(torch_own, start_factor=1 / 4, total_iters=3)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(torch_own, T_max=17, eta_min=0.0005)
    expected = torch.optim.lr_scheduler.SequentialLR(torch_own, [rise, fall], milestones=[3])
    for step in range(20):
        assert SETTINGS.rate_at(step) == pytest.approx(expected.get_last_lr()[0])
        torch_own.step()
        expected.step()
    short, longer = fresh(), fresh()
    longer.settings = replace(SETTINGS, steps=40)
    advance(short, 20)
    longer.load_state_dict(short.state_dict())
    assert longer.step == 20 and longer.rate == replace(SETTINGS, steps=40).rate_at(20) > 40 * short.rate
    advance(longer, 20)
    assert longer.rate == pytest.approx(0.0005) and SETTINGS.rate_at(1000) == pytest.approx(0.0005)


def test_the_average_follows_the_naive_formula() -> None:
    training = fresh()
    average = training.raw.weight.detach().clone()
    for count in range(5):
        advance(training, 1)
        decay = min(0.9, (1 + count) / (10 + count)) if count else 0.0
        average = decay * average + (1 - decay) * training.raw.weight.detach()
        torch.testing.assert_close(training.ema.module.weight.detach(), average)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_and_changes_nothing(value: float) -> None:
    training = fresh()
    advance(training, 2)
    before = copy.deepcopy(training.state_dict()["model"])
    with pytest.raises(NonFiniteLossError, match="step 3"):
        training.update(training.model(torch.zeros(1, 3)).sum() * value)
    assert all(torch.equal(before[name], value) for name, value in training.state_dict()["model"].items())


def test_a_clip_of_zero_is_off() -> None:
    plain, off = fresh(), fresh()
    plain.settings, off.settings = replace(SETTINGS, clip_norm=1e9), replace(SETTINGS, clip_norm=0.0)
    advance(plain, 3)
    advance(off, 3)
    assert torch.equal(plain.raw.weight, off.raw.weight) and not torch.equal(off.raw.weight, fresh().raw.weight)


def test_steps_that_the_scaler_skips_count_no_norm_and_end_the_run_when_there_are_only_those() -> None:
    accelerator = make_accelerator(torch.device("cpu"), "fp32")
    accelerator.scaler = torch.amp.GradScaler("cpu")
    training = Training(nn.Linear(3, 1), SETTINGS, accelerator)
    before = training.raw.weight.detach().clone()

    def overflow() -> float:
        return training.update((training.model(torch.zeros(1, 3)) * 0).sqrt().sum())  # the gradient of sqrt at 0

    assert [overflow() for _ in range(MOST_SKIPPED - 1)] == [0.0] * (MOST_SKIPPED - 1)
    assert torch.equal(training.raw.weight, before)
    advance(training, 1)
    assert overflow() == 0.0
    with pytest.raises(NonFiniteLossError, match="norm"):
        for _ in range(MOST_SKIPPED):
            overflow()


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="another network"):
        fresh(4).load_state_dict(fresh(3).state_dict())


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "xpu", "hpu", "cpu:3"])
def test_an_absent_device_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(DeviceError, match=f"--device {name}"):
        pick_device(name)


def test_fp16_without_cuda_is_refused() -> None:
    with pytest.raises(DeviceError, match="bf16"):
        make_accelerator(torch.device("cpu"), "fp16")


def test_bf16_trains_on_the_cpu() -> None:
    torch.manual_seed(0)
    accelerator = make_accelerator(torch.device("cpu"), "bf16")
    training = Training(nn.Linear(3, 1), SETTINGS, accelerator)
    with accelerator.autocast():
        outputs = training.model(torch.ones(4, 3))
    assert outputs.dtype == torch.float32 or outputs.dtype == torch.bfloat16
    training.update(outputs.float().square().mean())
    assert training.step == 1 and training.raw.weight.dtype == torch.float32


@pytest.mark.slow
def test_a_compiled_training_moves_like_an_eager_one() -> None:
    def moved(compiled: bool) -> torch.Tensor:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 1))
        training = Training(network, SETTINGS, make_accelerator(torch.device("cpu"), "fp32"), compiled)
        advance(training, 5)
        return network[0].weight.detach().clone()

    torch.testing.assert_close(moved(True), moved(False), atol=1e-5, rtol=1e-4)
