"""What every loss under conf/loss must do, with the head that it brings and in a run."""

import functools
import itertools

import pytest
import torch
from hydra.utils import instantiate
from torch.nn import functional

from deepfake_lab import config
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.evaluation.sanity import LOSS_SHARE
from deepfake_lab.models.head import ContrastiveHead, CosineHead, LinearHead
from deepfake_lab.types import LabError

LOSSES = sorted(path.stem for path in (config.CONF / "loss").glob("*.yaml"))
LABEL = [0, 0, 0] + [1] * 9


@functools.cache
def compose(loss):
    return config.compose("run", [f"loss={loss}"])


@pytest.fixture(params=LOSSES)
def made(request):
    """A loss that knows the classes of `LABEL`, and the head that it asks for."""
    torch.manual_seed(0)
    composed = compose(request.param)
    loss = config.build(composed.loss)
    loss.set_prior(3, 9)
    return loss, instantiate(composed.model.head)(8) if "head" in composed.model else LinearHead(8)


def summed(terms):
    return torch.stack(list(terms.values())).sum()


def projections(head, label):
    """Some that the head may give, and the best there are."""
    some = torch.linspace(-0.9, 0.8, 2 * len(label)).view(len(label), 2).double()
    if isinstance(head, ContrastiveHead):
        return functional.normalize(some, dim=1), functional.one_hot(label, 2).double()
    width = len(head.weight) if isinstance(head, CosineHead) else 0
    best = 1 - 2.0 * label.unsqueeze(1) if width == 1 else functional.one_hot(label, 2)[:, :width]
    return some[:, :width], best.double()


def test_gradients_are_true_and_reach_the_score_or_the_projection(made, terms):
    loss, head = made
    label = torch.tensor(LABEL)
    raw = torch.linspace(-2, 2, len(label)).double().requires_grad_()
    projection = projections(head, label)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda *of: summed(terms(loss.double(), label, *of)), (raw, projection))
    summed(terms(loss, label, raw, projection)).backward()
    if isinstance(head, CosineHead):
        assert raw.grad is None
    else:
        assert (raw.grad.sign() == torch.where(label == 0, -1, 1)).all()
    assert projection.shape[1] == 0 or (projection.grad != 0).any(dim=1).all()


def test_constant_loss_is_the_least_of_any_constant_output(made, terms):
    loss, head = made
    label = torch.tensor(LABEL)
    raws, rows = torch.linspace(-2, 2, 41), [[]]  # 0 is among them, as is every best cosine but for a little
    if isinstance(head, CosineHead):
        raws, rows = torch.zeros(1), list(itertools.product(torch.linspace(-1, 1, 41), repeat=len(head.weight)))
    elif isinstance(head, ContrastiveHead):
        rows = [[0.6, 0.8]]
    values = [
        float(summed(terms(loss, label, raw.expand(12), torch.tensor([row]).expand(12, -1))))
        for raw in raws
        for row in rows
    ]
    assert loss.constant_loss <= min(values) + 1e-5
    assert loss.constant_loss == pytest.approx(min(values), rel=0.01)


def test_who_tells_the_classes_apart_has_learned_something(made, terms):
    loss, head = made
    label = torch.tensor(LABEL)
    best = summed(terms(loss, label, 5.0 * (1 - 2 * label), projections(head, label)[1]))
    assert best < LOSS_SHARE * loss.constant_loss


def test_another_head_is_refused(made, terms):
    loss, head = made
    if isinstance(head, CosineHead | ContrastiveHead):
        for others in {0, 3 - len(head.weight)} if isinstance(head, CosineHead) else {0}:
            with pytest.raises(LabError, match=r"Leave model\.head to the loss"):
                terms(loss, LABEL, projection=torch.zeros(12, others))


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "weighted_cross_entropy"])
def test_trains_through_the_command(lab, loss):
    """With any model; the detector that is left needs no loss."""
    status, printed = lab(
        "run",
        "experiment=toy",
        "model=crnn_mfcc",
        f"loss={loss}",
        "loader.balance=attack",
        "stages=[fit]",
        "trainer.max_epochs=1",
        "tracking.system_metrics=false",
        "tracking.registered_model=null",
    )
    assert status == 0, printed
    (run,) = lab.runs
    detector = load_detector(run / "detector.ckpt")
    with torch.inference_mode():
        scores = detector(torch.randn(3, detector.window_samples)).score
    assert torch.isfinite(scores).all()
    assert len(scores.unique()) == 3
