import math

import pytest
import torch
from torch.nn import functional as F

from facial_rec.finetuning.margins import QualityMargin, margin_head, quality_of


def naive(head: QualityMargin, embeddings: torch.Tensor, person: list[int], quality: list[float]) -> float:
    """The paper's formula, one face at a time."""
    centres, total = F.normalize(head.centres.detach()), 0.0
    for row, (own, z) in enumerate(zip(person, quality, strict=True)):
        logits = []
        for number, centre in enumerate(centres):
            angle = math.acos(float(embeddings[row] @ centre))
            turned = math.cos(angle - head.margin_radians * z) - head.margin_radians * (1 + z)
            logits.append(64 * (turned if number == own else math.cos(angle)))
        total += math.log(sum(math.exp(value) for value in logits)) - logits[own]
    return total / len(person)


def test_the_quality_margin_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    head, embeddings = QualityMargin(5), F.normalize(torch.randn(3, 512))
    found = head(embeddings, torch.tensor([0, 3, 4]), torch.tensor([-1.0, 0.2, 1.0]))
    assert float(found.detach()) == pytest.approx(naive(head, embeddings, [0, 3, 4], [-1.0, 0.2, 1.0]), rel=1e-4)


def test_quality_runs_from_the_smallest_face_to_the_largest() -> None:
    quality = quality_of(torch.tensor([6, 8, 32, 112]))
    assert quality.tolist()[::3] == pytest.approx([-1, 1]) and bool((quality.diff() > 0).all())


@pytest.mark.parametrize("kind", ["arcface", "cosface", "adaface"])
def test_every_margin_learns_to_tell_people_apart(kind: str) -> None:
    torch.manual_seed(0)
    head, person = margin_head(kind, 4), torch.arange(4).repeat(4)
    faces = torch.nn.Parameter(torch.randn(16, 512))
    optimiser, quality = torch.optim.Adam([faces, *head.parameters()], lr=0.05), torch.zeros(16)
    losses = []
    for _ in range(30):
        loss = head(F.normalize(faces), person, quality)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("kind", ["arcface", "cosface", "adaface"])
def test_a_margin_keeps_its_centres_in_full_precision_beside_half_precision_embeddings(kind: str) -> None:
    head, person = margin_head(kind, 4), torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16):
        loss = head(F.normalize(torch.randn(4, 512)).bfloat16(), person, torch.zeros(4))
    assert loss.dtype == torch.float32
    assert {weight.dtype for weight in head.parameters()} == {torch.float32}
