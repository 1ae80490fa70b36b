import pytest
import torch
from torch.nn import functional as F

from facial_rec.finetuning.embedding_losses import uniformity
from facial_rec.finetuning.gates import Gates

LIMITS = Gates(max_hr_drop=0.5, max_impostor_mean=0.2, min_rank_share=0.5, min_uniformity_share=0.5, max_overlap=0.05)


def figures(accuracy: float = 0.99, impostor: float = 0.0, eer: float = 0.01) -> dict[str, float]:
    return {"accuracy": accuracy, "impostor_mean": impostor, "eer": eer}


def measured(rank: float = 100, spread: float = 3.0, small: dict | None = None, **hr: float) -> dict:
    return {
        "hr": figures(**hr),
        "bicubic": {"8": small or figures()},
        "effective_rank": rank,
        "uniformity": spread,
    }


@pytest.mark.parametrize(
    ("after", "flag"),
    [
        (measured(accuracy=0.984), "--max-hr-drop"),
        (measured(impostor=0.3), "--max-impostor-mean"),
        (measured(small=figures(impostor=0.3)), "--max-impostor-mean"),
        (measured(rank=49), "--min-rank-share"),
        (measured(spread=1.4), "--min-uniformity-share"),
        (measured(eer=0.07), "--max-overlap"),
    ],
)
def test_each_limit_is_held_and_named(after: dict, flag: str) -> None:
    assert flag in (LIMITS.violated(measured(), after) or "")


def test_what_stays_within_the_limits_passes() -> None:
    assert LIMITS.violated(measured(), measured(accuracy=0.986, impostor=0.19, eer=0.05, rank=51, spread=1.6)) is None


def test_uniformity_is_the_papers_formula_and_falls_when_a_space_collapses() -> None:
    torch.manual_seed(0)
    spread = F.normalize(torch.randn(40, 512))
    pairs = [(a - b).square().sum() for i, a in enumerate(spread) for b in spread[i + 1 :]]
    assert uniformity(spread) == pytest.approx(-float(torch.stack(pairs).mul(-2).exp().mean().log()), rel=1e-5)
    collapsed = F.normalize(spread + 5 * spread[:1])
    assert uniformity(collapsed) < 0.2 * uniformity(spread)
