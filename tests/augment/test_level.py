"""Gain, polarity and clipping do just that."""

import torch
from scipy.stats import kstest

from deepfake_lab.augment.level import Clipping, Gain, Polarity


def test_gain_multiplies_by_what_is_drawn_evenly_in_decibels(voice):
    torch.manual_seed(0)
    factor = Gain((-12, 6), p=1)(voice.repeat(300, 1)) / voice
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert kstest(20 * torch.log10(factor[:, 0]), "uniform", (-12, 18)).pvalue > 0.01


def test_polarity_changes_the_sign(voice):
    assert torch.equal(Polarity(p=1)(voice[None]), -voice[None])


def test_clipping_cuts_what_is_above_the_limit_and_nothing_else(voice):
    torch.manual_seed(0)
    after = Clipping((3, 12), p=1)(voice.repeat(300, 1))
    limit = after.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(after, voice.clamp(-limit, limit))
    below_peak = 20 * torch.log10(voice.abs().max() / limit[:, 0])
    assert kstest(below_peak, "uniform", (3, 9)).pvalue > 0.01
