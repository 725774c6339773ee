"""Faster is higher and shorter."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from deepfake_lab.augment.speed import SpeedPerturbation, resampled

TIME = torch.arange(16_000, dtype=torch.float64)


def tone(hz):
    return torch.sin(2 * np.pi * hz / 16_000 * TIME).float()


@pytest.mark.parametrize("factor", [0.85, 0.95, 1.1, 2.0])
@pytest.mark.parametrize(("hz", "error_db"), [(500, -90), (3_000, -69)])
def test_a_tone_is_moved_by_the_factor(factor, hz, error_db):
    speed = torch.tensor([[factor]])
    after, expected = resampled(tone(hz)[None], speed)[0], tone(hz * speed.item())
    inside = slice(200, int(16_000 / max(factor, 1)) - 200)  # it has a seam where it begins again
    error = (after - expected)[inside].square().mean() / expected[inside].square().mean()
    assert 10 * error.log10() < error_db


def test_a_faster_row_begins_again_and_loses_what_nobody_could_hear_then():
    row = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    after = resampled(row[None], torch.tensor([[1.25]]))[0]
    torch.testing.assert_close(after[12_800:], after[:3_200], atol=1e-4, rtol=0)
    assert resampled(tone(7_000)[None], torch.tensor([[1.25]]))[0, 200:12_600].abs().max() < 1e-2


def test_each_row_has_a_speed_of_its_own_drawn_evenly():
    click = torch.zeros(200, 10_000)
    click[:, 5_000] = 1
    torch.manual_seed(0)
    factors = 5_000 / SpeedPerturbation((0.85, 1.18), p=1)(click).argmax(dim=1)
    assert kstest(factors, "uniform", (0.85, 0.33)).pvalue > 0.01
