import torch

from dsr.critic import Adversary, PatchCritic
from engine.device import make_accelerator
from engine.optimisation import Optimisation, Training


def adversary() -> Adversary:
    torch.manual_seed(0)
    settings = Optimisation(60, 2e-3, 5, 0.0, 1.0, 0.9)
    return Adversary(Training(PatchCritic(8), settings, make_accelerator(torch.device("cpu"), "fp32")))


def faces() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sharp = torch.rand(4, 3, 112, 112, generator=generator)
    return sharp, torch.nn.functional.avg_pool2d(sharp, 5, 1, 2)


def test_the_critic_learns_to_tell_smooth_faces_from_sharp_ones_and_judges_accordingly() -> None:
    game = adversary()
    sharp, smooth = faces()
    first = game.learn(smooth, sharp).item()
    for _ in range(40):
        game.training.update(game.learn(smooth, sharp))
    assert game.learn(smooth, sharp).item() < 0.5 * first
    assert game.judge(sharp) < game.judge(smooth) - 0.5


def test_the_hinge_loss_is_that_of_a_naive_loop() -> None:
    game = adversary()
    sharp, smooth = faces()
    game.training.model.eval()
    found = game.learn(smooth, sharp).item()
    real, false = (game.training.model(each).flatten().tolist() for each in (sharp, smooth))
    naive = sum(max(0, 1 - x) for x in real) / len(real) + sum(max(0, 1 + x) for x in false) / len(false)
    assert abs(found - naive) < 1e-5


def test_each_side_moves_only_its_own_weights() -> None:
    game = adversary()
    sharp, smooth = faces()
    smooth.requires_grad_(True)
    game.judge(smooth).backward()
    assert smooth.grad is not None and smooth.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in game.training.raw.parameters())
    smooth.grad = None
    game.learn(smooth, sharp).backward()
    assert smooth.grad is None
    assert all(parameter.grad is not None for parameter in game.training.raw.parameters())


def test_a_judgement_does_not_depend_on_the_batch() -> None:
    critic = PatchCritic(8).eval()
    sharp, _ = faces()
    torch.testing.assert_close(critic(sharp)[1:2], critic(sharp[1:2]))
    assert critic(sharp).shape == (4, 1, 13, 13)
