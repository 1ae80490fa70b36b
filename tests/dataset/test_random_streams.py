import numpy as np
import torch

from dataset.views.random_streams import Draws

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_the_numbers_are_those_of_splitmix64():
    seeds = [0, 1, -5, 2**62]
    ours = Draws(torch.tensor(seeds)).uniform(3)
    for seed, row in zip(seeds, ours, strict=True):
        start = splitmix64((seed + 0x9E3779B97F4A7C15) & MASK)
        expected = [(splitmix64((start + k * 0x9E3779B97F4A7C15) & MASK) >> 40) / 2**24 for k in (1, 2, 3)]
        assert row.tolist() == expected


def test_streams_go_on_and_do_not_depend_on_the_batch():
    one, two = Draws(torch.arange(5)), Draws(torch.arange(5)[3:])
    assert torch.equal(torch.cat([one.uniform(2), one.uniform(3)], 1), Draws(torch.arange(5)).uniform(5))
    assert torch.equal(Draws(torch.arange(5)).normal(4)[3:], two.normal(4))


def test_uniform_and_normal_have_their_moments_and_streams_do_not_correlate():
    draws = Draws(torch.arange(64))
    even, normal = draws.uniform(4000), draws.normal(4000)
    assert even.min() >= 0 and even.max() < 1
    assert abs(even.mean() - 0.5) < 0.003 and abs(even.var() - 1 / 12) < 0.001
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01 and abs((normal**4).mean() - 3) < 0.1
    correlation = np.corrcoef(torch.cat([even, normal], 0).numpy())
    assert np.abs(correlation - np.eye(128)).max() < 0.09
    assert abs(float(Draws(torch.arange(10_000)).chance(0.3).float().mean()) - 0.3) < 0.02


def test_a_square_of_numbers_grows_at_its_right_and_lower_sides():
    small, large = (Draws(torch.arange(3)).normal_square(4, side) for side in (5, 9))
    assert torch.equal(small, large[:, :, :5, :5])
    assert len(large.unique()) == large.numel()
