import torch

from engine.randomness import epoch_rows, generator_for, share_of


def test_each_place_has_its_own_draws_and_the_same_ones_each_time() -> None:
    def draw(*place: int | str) -> list[float]:
        return torch.rand(4, generator=generator_for(*place)).tolist()

    assert draw(0, "view", 1, 2) == draw(0, "view", 1, 2)
    assert len({tuple(draw(seed, "view", epoch, 0)) for seed in range(3) for epoch in range(3)}) == 9


def test_an_epoch_shows_each_face_once() -> None:
    rows = epoch_rows(103, 10, seed=1, epoch=0)
    assert rows.shape == (10, 10) and len(set(rows.flatten().tolist())) == 100
    assert not torch.equal(rows, epoch_rows(103, 10, seed=1, epoch=1))


def test_fewer_faces_than_a_batch_are_repeated() -> None:
    assert epoch_rows(3, 8, seed=0, epoch=0).shape == (1, 8)


def test_the_shares_of_all_processes_are_the_batch() -> None:
    rows = torch.arange(12)
    assert torch.equal(torch.cat([share_of(rows, rank, 3) for rank in range(3)]), rows)
