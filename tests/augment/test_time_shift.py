"""Windows are turned in a circle."""

import torch
from scipy.stats import kstest

from deepfake_lab.augment.time_shift import TimeShift


def test_rows_begin_anywhere_and_lose_nothing():
    row = torch.arange(1_000.0)
    torch.manual_seed(0)
    after = TimeShift(p=1)(row.repeat(300, 1))
    shifts = [int(start.item()) for start in -after[:, 0] % 1_000]
    for shift, shifted in zip(shifts, after, strict=True):
        assert torch.equal(shifted, row.roll(shift))
    assert kstest(shifts, "uniform", (0, 1_000)).pvalue > 0.01


def test_no_farther_than_the_share():
    torch.manual_seed(0)
    after = TimeShift(0.1, p=1)(torch.arange(1_000.0).repeat(300, 1))
    assert 80 < (-after[:, 0] % 1_000).max() < 100
