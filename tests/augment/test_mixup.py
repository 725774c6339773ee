"""Mixtures are what they say."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from deepfake_lab.augment.mixup import Mixup
from deepfake_lab.types import LabError


def test_a_mixture_is_its_share_of_each_row_and_the_rest_of_the_partner():
    torch.manual_seed(0)
    wave = torch.randn(5, 100)
    mixture = Mixup()(wave)
    assert sorted(mixture.partner.tolist()) == list(range(5))
    expected = mixture.share * wave + (1 - mixture.share) * wave[mixture.partner]
    torch.testing.assert_close(mixture.wave, expected)
    assert mixture.wave.dtype == torch.float32


def test_shares_follow_the_beta_distribution_folded_at_a_half():
    torch.manual_seed(0)
    shares = np.array([Mixup(0.3)(torch.zeros(1, 1)).share for _ in range(500)])
    assert kstest(shares, lambda x: beta.cdf(x, 0.3, 0.3) - beta.cdf(1 - x, 0.3, 0.3)).pvalue > 0.01


def test_senseless_settings_are_refused():
    with pytest.raises(LabError, match=r"mixup\.alpha=0"):
        Mixup(0)
