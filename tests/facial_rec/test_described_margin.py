import torch
from torch.nn import functional as F

from dataset.synthetic.people import describe_people
from facial_rec.finetuning.described_margin import MARGIN, SCALE, DescribedMargin


def test_the_loss_is_cosfaces_around_the_centres_of_the_descriptions() -> None:
    torch.manual_seed(0)
    head = DescribedMargin(torch.randn(5, 7))
    embeddings, person = F.normalize(torch.randn(3, 512)), torch.tensor([4, 0, 2])
    centres = F.normalize(head.centre(head.descriptions)).detach()
    total = torch.zeros(())
    for row, own in zip(embeddings, person.tolist(), strict=True):
        logits = [SCALE * (float(row @ centre) - (MARGIN if at == own else 0)) for at, centre in enumerate(centres)]
        total += torch.tensor(logits).logsumexp(0) - logits[own]
    torch.testing.assert_close(head(embeddings, person, torch.ones(3)).detach(), total / 3)


def test_descriptions_are_of_mean_0_and_deviation_1_and_a_persons_own() -> None:
    people = torch.arange(4000)
    described = describe_people(people, seed=3)
    assert described.mean(0).abs().max() < 0.1 and (described.std(0) - 1).abs().max() < 0.25
    torch.testing.assert_close(describe_people(people[17:19], seed=3), described[17:19])
    assert not torch.equal(describe_people(people[:2], seed=4), described[:2])
    assert (torch.cdist(described[:200], described[:200]) + torch.eye(200) * 100).min() > 1
