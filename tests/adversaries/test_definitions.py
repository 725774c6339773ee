"""What each adversary's paper says, on scores whose best answer is known."""

import pytest
import torch

from deepfake_lab.adversaries.apgd import Apgd, checkpoints
from deepfake_lab.adversaries.budget import MaxBudget, SnrBudget
from deepfake_lab.adversaries.fgsm import Fgsm
from deepfake_lab.adversaries.pgd import Pgd
from deepfake_lab.types import LabError

DIRECTION = torch.tensor([3.0, 0.0, -4.0, 1e-20])
WAVE = torch.tensor([[0.1, -0.2, 0.2, 0.0]])
SPOOF, BONAFIDE = torch.tensor([1]), torch.tensor([0])


def linear(wave):
    return wave @ DIRECTION


def bent(wave):
    """Highest at one point within the ball, along a narrow valley that a single step misses."""
    away = wave - (WAVE + torch.tensor([0.002, -0.006, 0.0, 0.0]))
    return -(away * torch.tensor([300.0, 20.0, 300.0, 300.0])).square().sum(dim=1)


def test_one_step_goes_where_the_papers_say():
    signs = Fgsm()(linear, WAVE, SPOOF, MaxBudget(0.01))
    torch.testing.assert_close(signs - WAVE, 0.01 * torch.tensor([[1.0, 0.0, -1.0, 1.0]]))
    straight = Fgsm()(linear, WAVE, BONAFIDE, SnrBudget(20.0))  # the wave's norm is 0.3
    torch.testing.assert_close(straight - WAVE, 0.03 * torch.tensor([[-0.6, 0.0, 0.8, 0.0]]))


@pytest.mark.parametrize("adversary", [Fgsm(), Pgd(), Apgd()])
@pytest.mark.parametrize("budget", [MaxBudget(0.01), SnrBudget(20.0)])
def test_a_linear_score_is_pushed_as_far_as_can_be(adversary, budget):
    torch.manual_seed(0)
    gain = linear(adversary(linear, WAVE, SPOOF, budget)) - linear(WAVE)
    assert float(gain) == pytest.approx(0.07 if isinstance(budget, MaxBudget) else 0.15, rel=0.01)


def test_several_steps_find_what_one_misses():
    torch.manual_seed(0)
    single, steps, adaptive = (
        float(bent(one(bent, WAVE, SPOOF, MaxBudget(0.01)))) for one in (Fgsm(), Pgd(steps=40), Apgd(steps=40))
    )
    assert single < steps < adaptive < 1e-6
    assert adaptive > 0.2 * steps  # steps that halve come closer; both gains are negative


@pytest.mark.parametrize("adversary", [Pgd(steps=5), Apgd(steps=5)])
def test_the_best_point_on_the_way_counts(adversary):
    seen = []

    def zigzag(wave):
        score = torch.sin(2000 * wave).sum(dim=1)
        seen.append(score.detach())
        return score

    torch.manual_seed(0)
    found = adversary(zigzag, WAVE, SPOOF, MaxBudget(0.01))
    assert float(zigzag(found)) == max(map(float, seen[:-1])) > float(seen[-2])


def test_more_restarts_lead_no_less_far():
    def rugged(wave):
        return torch.sin(900 * wave).sum(dim=1)

    wave, label = torch.linspace(-0.5, 0.5, 40).view(10, 4), torch.tensor([0, 1] * 5)
    for kind in (Pgd, Apgd):
        found = []
        for restarts in (1, 5):
            torch.manual_seed(0)
            changed = kind(steps=5, restarts=restarts)(rugged, wave, label, MaxBudget(0.02))
            found.append((2 * label - 1) * rugged(changed))
        assert (found[1] >= found[0]).all()
        assert found[1].mean() > found[0].mean()


def test_checkpoints_are_those_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


def test_no_steps_are_refused():
    for kind in (Pgd, Apgd):
        with pytest.raises(LabError, match="at least one step"):
            kind(steps=0)
