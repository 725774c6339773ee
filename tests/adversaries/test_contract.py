"""What every adversary under conf/adversary must do."""

import copy

import pytest
import torch

from deepfake_lab.adversaries.adversary import gain_of, in_use
from deepfake_lab.adversaries.budget import MaxBudget, SnrBudget
from deepfake_lab.config import CONF, build, compose
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

NAMES = sorted(path.stem for path in (CONF / "adversary").glob("*.yaml"))
BUDGETS = [SnrBudget(40.0), SnrBudget(30.0), MaxBudget(0.001), MaxBudget(0.004)]


@pytest.fixture(params=NAMES, scope="module")
def adversary(request):
    node = compose("adversary", [f"adversary={request.param}", "checkpoint=x", "choices={}"]).adversary
    return build({**node, "steps": 4} if "steps" in node else dict(node))


def attacked(adversary, detector, trials, budget, seed=0):
    """Changed waveforms, and how far all scores have moved to the wrong side."""
    wave, label = trials
    torch.manual_seed(seed)
    with in_use(detector):
        score = lambda point: detector(point).score  # noqa: E731
        changed = adversary(score, wave, label, budget)
        with torch.no_grad():
            return changed, gain_of(score, changed, label) - gain_of(score, wave, label)


def test_ensembles_are_misled_too(adversary, detectors, trials):
    assert (attacked(adversary, detectors["ensemble"], trials, SnrBudget(30.0))[1] > 0).all()


def test_misleads_within_the_budget_and_farther_with_more(adversary, detectors, trials):
    moved = []
    for budget in BUDGETS:
        changed, gain = attacked(adversary, detectors["detector"], trials, budget)
        change = (changed - trials[0]).double()
        if isinstance(budget, SnrBudget):
            snr_db = 10 * (trials[0].double().square().sum(dim=1) / change.square().sum(dim=1)).log10()
            assert (snr_db > budget.snr_db - 1e-3).all()
            inside = trials[0].abs().amax(dim=1) < 0.9  # what full scale cuts off is less than the budget
            assert (snr_db[inside] < budget.snr_db + 0.1).all()
        else:
            assert change.abs().max() == pytest.approx(budget.epsilon, abs=1e-7)
        assert changed.abs().max() <= 1
        assert (gain > 0).all()
        moved.append(gain.mean())
    assert moved[0] < moved[1]
    assert moved[2] < moved[3]


def test_labels_say_where_scores_go(adversary, detectors, trials):
    """As a spoof, whatever it is, a waveform ends higher than as bona fide speech."""
    wave, label = trials
    detector = detectors["detector"].eval()
    ends = [
        detector(attacked(adversary, detector, (wave, torch.full_like(label, said)), SnrBudget(30.0))[0]).score
        for said in (SPOOF, BONAFIDE)
    ]
    assert (ends[0] > ends[1]).all()


def test_repeats_itself_and_leaves_no_trace(adversary, detectors, trials):
    detector = detectors["detector"].train()
    before = copy.deepcopy(detector.state_dict())
    modes = [module.training for module in detector.modules()]
    first, _ = attacked(adversary, detector, trials, BUDGETS[0])
    again, _ = attacked(adversary, detector, trials, BUDGETS[0])
    assert torch.equal(first, again)
    assert not first.requires_grad
    torch.testing.assert_close(detector.state_dict(), before, rtol=0, atol=0, equal_nan=True)
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert modes == [module.training for module in detector.modules()]
    assert modes[0]


def test_silence_and_what_is_beyond_full_scale_stay_finite(adversary, detectors, trials):
    wave, label = trials[0][:2].clone(), trials[1][:2]
    wave[0] = 0
    wave[1, :10] = 1.5
    changed, _ = attacked(adversary, detectors["detector"], (wave, label), SnrBudget(20.0))
    assert changed[0].abs().max() < 1e-20
    assert changed.isfinite().all()
    assert changed[1].max() <= 1.5
    assert changed[1, 10:].abs().max() <= 1


def test_a_score_without_gradient_is_refused(adversary, trials):
    with pytest.raises(LabError, match="has no gradient"):
        adversary(lambda wave: wave.detach().mean(dim=1), *trials, BUDGETS[0])
