"""Losses that need people, on faces of nobody known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from facial_rec.finetuning.bank import others
from facial_rec.finetuning.embedding_losses import contrastive_loss
from facial_rec.finetuning.margins import PassingOver, margin_head, margin_over

KINDS = ["arcface", "cosface", "adaface"]


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(count, 512, generator=torch.Generator().manual_seed(seed))).requires_grad_()


@pytest.mark.parametrize("kind", KINDS)
def test_a_margin_takes_the_faces_of_known_people_alone(kind: str) -> None:
    torch.manual_seed(0)
    head, quality = margin_head(kind, 3), torch.linspace(-1, 1, 6)
    person, faces = torch.tensor([0, -1, 2, 1, -1, -1]), drawn(6)
    known = person >= 0
    PassingOver(head)(faces, person, quality).backward()
    found, of_head = faces.grad.clone(), [weight.grad.clone() for weight in head.parameters()]
    faces.grad = None
    head.zero_grad()
    (head(faces[known], person[known], quality[known]) / 2).backward()  # three of six
    assert torch.equal(found[~known], torch.zeros(3, 512)) and found[known].abs().sum() > 0
    torch.testing.assert_close(found, faces.grad)
    torch.testing.assert_close(of_head, [weight.grad for weight in head.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_nobody_known_has_no_margin_and_a_gradient_that_others_can_wait_for(kind: str) -> None:
    head, faces = PassingOver(margin_head(kind, 3)), drawn(4)
    loss = head(faces, torch.full((4,), -1), torch.zeros(4))
    loss.backward()
    gradients = [faces.grad, *(weight.grad for weight in head.parameters())]
    assert float(loss.detach()) == 0 and all(each is not None and not each.any() for each in gradients)


def test_parts_of_a_batch_have_the_margin_of_the_whole() -> None:
    torch.manual_seed(0)
    head, faces, quality = PassingOver(margin_head("adaface", 3)), drawn(8), torch.zeros(8)
    person = torch.tensor([0, 1, 2, -1, -1, -1, -1, 1])
    whole = head(faces, person, quality)
    halves = [head(faces[part], person[part], quality[part]) for part in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(torch.stack(halves).mean(), whole)


def test_the_head_is_chosen_by_the_people_that_there_are() -> None:
    def over(people: list[str], person: list[int]) -> torch.nn.Module | None:
        return margin_over("adaface", SimpleNamespace(people=people, person=np.array(person)))  # type: ignore[arg-type]

    assert over([], [-1, -1]) is None
    assert isinstance(over(["Ann", "Bo"], [0, 1, -1]), PassingOver)
    assert not isinstance(over(["Ann", "Bo"], [0, 1]), PassingOver)


def test_nobody_known_is_a_negative_of_nobody() -> None:
    person, targets = torch.tensor([0, 0, 1, -1, -1]), drawn(5).detach()
    gallery, same = others(targets, person, lambda value: value, None)
    assert torch.equal(gallery, targets)
    one_another = [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0, 0, 1, 1, 1], [1] * 5, [1] * 5]
    assert same.int().tolist() == one_another
    embeddings = drawn(5, 1)
    loss = contrastive_loss(embeddings, targets, gallery, same)
    loss.backward()
    assert embeddings.grad[3:].abs().max() == 0 and embeddings.grad[:3].abs().sum() > 0
    known = contrastive_loss(embeddings[:3], targets[:3], targets[:3], same[:3, :3])
    torch.testing.assert_close(loss, known * 3 / 5)
