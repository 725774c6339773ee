import math

import pytest
import torch
from torch.nn import functional

from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.types import BONAFIDE, SPOOF, Batch, LabError, Output

N_BONAFIDE, N_SPOOF = 4_000, 80_000
WEIGHTINGS = ["balanced", [1.0, 1.0], [0.9, 0.1], [0.1, 3.0]]


@pytest.fixture(scope="module")
def problem():
    """One feature, N(1, 1) for bona fide and N(-1, 1) for spoof: the log-likelihood ratio of x is 2 x."""
    generator = torch.Generator().manual_seed(0)
    label = torch.cat([torch.full((N_BONAFIDE,), BONAFIDE), torch.full((N_SPOOF,), SPOOF)])
    x = torch.randn(len(label), generator=generator) + torch.where(label == BONAFIDE, 1.0, -1.0)
    return x, label


def make(class_weight, counts=(N_BONAFIDE, N_SPOOF)):
    loss = WeightedCrossEntropy(class_weight)
    loss.set_prior(*counts)
    return loss


def term(loss, raw, label):
    batch = Batch(torch.zeros(len(label), 0), label, torch.arange(len(label)), ())
    nothing = raw.new_empty(len(raw), 0)
    return loss(Output(raw, raw, raw.unsqueeze(1), nothing, nothing), batch)["cross_entropy"]


@pytest.mark.parametrize("class_weight", WEIGHTINGS)
def test_trained_score_is_the_log_likelihood_ratio(problem, class_weight):
    x, label = problem
    loss = make(class_weight)
    line = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = term(loss, line[0] * x + line[1], label)
        value.backward()
        return value

    optimizer.step(closure)
    slope, offset = line.tolist()
    assert slope == pytest.approx(2, abs=0.1)
    assert offset == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("class_weight", WEIGHTINGS)
def test_constant_loss_is_the_least_of_any_constant(problem, class_weight):
    _, label = problem
    loss = make(class_weight)
    constants = torch.linspace(-1, 1, 21)  # 0 is the best: nothing is known beyond the prior, which the loss adds
    values = torch.stack([term(loss, torch.full((len(label),), float(c)), label) for c in constants])
    assert constants[values.argmin()] == pytest.approx(0, abs=1e-6)
    assert loss.constant_loss == pytest.approx(values.min().item(), rel=1e-4)


def test_balanced_constant_loss_is_ln_2():
    assert make("balanced").constant_loss == pytest.approx(math.log(2))


@pytest.mark.parametrize("class_weight", WEIGHTINGS)
def test_equals_two_class_cross_entropy_of_torch(problem, class_weight):
    x, label = (part[::97] for part in problem)
    loss = make(class_weight)
    weight = torch.tensor([1 / N_BONAFIDE, 1 / N_SPOOF] if class_weight == "balanced" else class_weight)
    mean_weight = (weight[0] * N_BONAFIDE + weight[1] * N_SPOOF) / (N_BONAFIDE + N_SPOOF)
    prior = torch.log(weight * torch.tensor([N_BONAFIDE, N_SPOOF]))
    logits = torch.stack([x + prior[0], prior[1].expand_as(x)], dim=1)
    expected = functional.cross_entropy(logits, label, weight=weight / mean_weight, reduction="none").mean()
    torch.testing.assert_close(term(loss, x, label), expected)


def test_weights_have_mean_one_over_the_training_set():
    loss = make([0.9, 0.1])
    assert loss.weight[BONAFIDE] / loss.weight[SPOOF] == pytest.approx(9)
    mean = (N_BONAFIDE * loss.weight[BONAFIDE] + N_SPOOF * loss.weight[SPOOF]) / (N_BONAFIDE + N_SPOOF)
    assert mean == pytest.approx(1)


def test_prior_travels_in_the_state_dict(problem):
    x, label = (part[::97] for part in problem)
    told, untold = make([1.0, 1.0]), WeightedCrossEntropy([1.0, 1.0])
    assert told.prior_log_odds == pytest.approx(math.log(N_BONAFIDE / N_SPOOF))
    assert term(untold, x, label).isnan()
    untold.load_state_dict(told.state_dict())
    assert torch.equal(term(untold, x, label), term(told, x, label))
    assert untold.constant_loss == told.constant_loss


def test_extreme_scores_stay_finite():
    raw = torch.tensor([1e4, -1e4], requires_grad=True)
    value = term(make("balanced", (5, 7)), raw, torch.tensor([SPOOF, BONAFIDE]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("class_weight", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 1.0, 1.0]])
def test_weights_that_are_not_two_positive_numbers_are_refused(class_weight):
    with pytest.raises(LabError, match="two positive weights"):
        WeightedCrossEntropy(class_weight)


@pytest.mark.parametrize("counts", [(0, 5), (5, 0)])
def test_training_set_of_one_class_is_refused(counts):
    with pytest.raises(LabError, match=f"{counts[0]} bona fide and {counts[1]} spoof"):
        WeightedCrossEntropy().set_prior(*counts)
