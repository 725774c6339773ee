"""A detector that hides its gradients is found out, a plain one is not."""

import torch
from make_detectors import hiss_and_tones, make_detectors

from deepfake_lab.adversaries.budget import SnrBudget
from deepfake_lab.adversaries.pgd import Pgd
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.evaluation import masking
from deepfake_lab.evaluation.masking import suspicions
from deepfake_lab.types import Batch


class Steps(torch.autograd.Function):
    """Identity whose gradient leads nowhere."""

    @staticmethod
    def forward(ctx, wave):
        return wave.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.flip(-1)


def test_hidden_gradients_are_suspicious_and_true_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(masking, "WITHOUT_BOUND", Pgd(steps=12))
    torch.manual_seed(0)
    wave, label = hiss_and_tones(8)
    batch = Batch(wave + 0.01 * torch.randn_like(wave), label, torch.arange(8), tuple("abcdefgh"))
    detector = load_detector(make_detectors(tmp_path)[0])
    budgets = {"snr_db=30": SnrBudget(30.0)}
    assert suspicions(detector, batch, Pgd(steps=5), budgets) == []
    detector.frontend.register_forward_pre_hook(lambda module, wave: Steps.apply(wave[0]))
    found = " ".join(suspicions(detector, batch, Pgd(steps=5), budgets))
    assert "The gradient of the score is not its slope" in found
