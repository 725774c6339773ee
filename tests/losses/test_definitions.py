"""Each loss by its paper, on numbers that are worked out here."""

import math

import pytest
import torch

from deepfake_lab.losses.am_softmax import AdditiveMarginSoftmax
from deepfake_lab.losses.contrastive import SupervisedContrastive, supervised_contrastive
from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.losses.focal import Focal
from deepfake_lab.losses.oc_softmax import OneClassSoftmax
from deepfake_lab.losses.p2sgrad import P2SGrad
from deepfake_lab.types import LabError


def test_focal(terms):
    loss = Focal()
    loss.set_prior(50, 50)
    (value,) = terms(loss, [0, 1], [math.log(4), math.log(4)]).values()  # both are called bona fide with p = 0.8
    assert float(value) == pytest.approx((0.2**2 * -math.log(0.8) + 0.8**2 * -math.log(0.2)) / 2)
    assert loss.constant_loss == pytest.approx(0.25 * math.log(2))


@pytest.mark.parametrize("class_weight", ["balanced", [0.9, 0.1], [1.0, 1.0]])
def test_focal_without_focus_is_weighted_cross_entropy(terms, class_weight):
    raw, label = torch.linspace(-30, 30, 12), torch.arange(12) % 3 % 2
    values, constants = [], []
    for loss in (Focal(class_weight, gamma=0), WeightedCrossEntropy(class_weight)):
        loss.set_prior(20, 300)
        values += terms(loss, label, raw).values()
        constants.append(loss.constant_loss)
    torch.testing.assert_close(*values)
    assert constants[0] == pytest.approx(constants[1], rel=1e-6)


def test_focal_of_extreme_scores_stays_finite(terms):
    loss = Focal()
    loss.set_prior(5, 7)
    raw = torch.tensor([1e4, -1e4, 1e4], requires_grad=True)
    (value,) = terms(loss, [1, 0, 0], raw).values()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(raw.grad).all()


def test_oc_softmax(terms):
    (value,) = terms(OneClassSoftmax(), [0, 1, 1], projection=[[0.8], [-0.1], [0.25]]).values()
    expected = [math.log(1 + math.exp(20 * (0.9 - 0.8))), math.log(1 + math.exp(20 * (-0.1 - 0.2)))]
    expected.append(math.log(1 + math.exp(20 * (0.25 - 0.2))))
    assert float(value) == pytest.approx(sum(expected) / 3)


def test_am_softmax(terms):
    (value,) = terms(AdditiveMarginSoftmax(scale=5, margin=0.35), [0, 1], projection=[[0.7, 0.2], [0.5, 0.6]]).values()
    real = math.exp(5 * (0.7 - 0.35)) / (math.exp(5 * (0.7 - 0.35)) + math.exp(5 * 0.2))
    fake = math.exp(5 * (0.6 - 0.35)) / (math.exp(5 * (0.6 - 0.35)) + math.exp(5 * 0.5))
    assert float(value) == pytest.approx(-(math.log(real) + math.log(fake)) / 2)


def test_p2sgrad(terms):
    (value,) = terms(P2SGrad(), [0, 1], projection=[[0.6, 0.3], [0.6, 0.3]]).values()
    assert float(value) == pytest.approx(((0.4**2 + 0.3**2) + (0.6**2 + 0.7**2)) / 2)


def test_supervised_contrastive():
    angles, label, temperature = [0.0, 0.3, 0.5, 2.0, 2.6], [0, 0, 1, 0, 1], 0.5
    projection = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])
    costs = []
    for i, angle in enumerate(angles):
        others = [j for j in range(5) if j != i]
        similar = {j: math.exp(math.cos(angle - angles[j]) / temperature) for j in others}
        logs = [math.log(similar[p] / sum(similar.values())) for p in others if label[p] == label[i]]
        costs.append(-sum(logs) / len(logs))
    found = supervised_contrastive(projection, torch.tensor(label), temperature)
    assert float(found) == pytest.approx(sum(costs) / 5, rel=1e-5)
    with_one_alone = supervised_contrastive(projection[[0, 1, 2]], torch.tensor([0, 0, 1]), temperature)
    without = [math.exp(math.cos(angle) / temperature) for angle in (0.3, 0.5, 0.2)]  # of 0-1, 0-2 and 1-2
    pair = [-math.log(without[0] / (without[0] + without[1])), -math.log(without[0] / (without[0] + without[2]))]
    assert float(with_one_alone) == pytest.approx(sum(pair) / 2, rel=1e-5)


@pytest.mark.parametrize("label", [[0], [0, 1]])
def test_a_batch_without_pairs_costs_nothing_and_breaks_nothing(label):
    projection = torch.eye(2)[: len(label)].requires_grad_()
    value = supervised_contrastive(projection, torch.tensor(label), 0.1)
    value.backward()
    assert value == 0
    assert (projection.grad == 0).all()


def test_joined_by_weight_and_measured_on_training_batches(terms):
    loss = SupervisedContrastive(WeightedCrossEntropy(), weight=0.3, temperature=0.5)
    loss.set_prior(2, 2)
    views, label = torch.eye(2)[[0, 0, 1, 1]].repeat(2, 1), torch.tensor([0, 0, 1, 1]).repeat(2)
    found = terms(loss, label, projection=views)
    assert float(found["cross_entropy"]) == pytest.approx(math.log(2))
    alike, other = math.exp(1 / 0.5), 1.0
    assert float(found["contrastive"]) == pytest.approx(0.3 * -math.log(alike / (3 * alike + 4 * other)))
    terms(loss.eval(), label[:3], projection=views[:3])
    assert loss.constant_loss == pytest.approx(math.log(2) + 0.3 * math.log(7))
    terms(loss.train(), label[:1], projection=views[:1])
    assert loss.constant_loss == pytest.approx(math.log(2)), "one row has no others"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Focal(gamma=-1), "gamma=-1"),
        (lambda: OneClassSoftmax(bonafide_margin=0.2, spoof_margin=0.9), "that of bona fide is the greater"),
        (lambda: OneClassSoftmax(scale=0), "scale=0: give a positive"),
        (lambda: AdditiveMarginSoftmax(margin=-0.1), r"margin=-0\.1"),
        (lambda: SupervisedContrastive(WeightedCrossEntropy(), temperature=0), "temperature=0"),
        (lambda: SupervisedContrastive(WeightedCrossEntropy(), weight=-1), "weight=-1"),
        (lambda: P2SGrad().set_prior(0, 5), "0 bona fide and 5 spoof"),
    ],
)
def test_settings_that_make_no_sense(make, complaint):
    with pytest.raises(LabError, match=complaint):
        make()
