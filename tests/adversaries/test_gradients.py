"""True gradients pass, others do not."""

import torch

from deepfake_lab.adversaries.adversary import in_use
from deepfake_lab.adversaries.gradients import slope_error


def test_a_detector_passes_and_one_with_another_gradient_or_none_does_not(detectors, trials):
    wave, label = trials
    wave = wave + 0.01 * torch.randn(
        wave.shape, generator=torch.Generator().manual_seed(0)
    )  # around pure tones the score bends at once
    detector = detectors["detector"]
    with in_use(detector):
        true = slope_error(lambda point: detector(point).score, wave, label)
        steep = slope_error(lambda point: detector(3 * point - 2 * point.detach()).score, wave, label)
        flat = slope_error(lambda point: detector(point).score * 0, wave, label)
    assert (true < 0.2).all()
    torch.testing.assert_close(steep, torch.full((8,), 2 / 3, dtype=steep.dtype), atol=0.05, rtol=0)
    assert torch.isinf(flat).all()
