"""Faster is higher and shorter."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from deepfake_lab.augment.speed import SpeedPerturbation, at_speed

TIME = torch.arange(16_000, dtype=torch.float64)


def tone(hz):
    return torch.sin(2 * np.pi * hz / 16_000 * TIME).float()


@pytest.mark.parametrize("per_cent", [85, 95, 110, 200])
@pytest.mark.parametrize(("hz", "error_db"), [(500, -95), (3_000, -72)])
def test_a_tone_is_moved_by_the_factor(per_cent, hz, error_db):
    after, expected = at_speed(tone(hz), per_cent), tone(hz * per_cent / 100)
    inside = slice(200, int(16_000 / max(per_cent / 100, 1)) - 200)  # it has a seam where it begins again
    error = (after - expected)[inside].square().mean() / expected[inside].square().mean()
    assert 10 * error.log10() < error_db


def test_a_faster_row_begins_again_and_loses_what_nobody_could_hear_then():
    row = torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    after = at_speed(row, 125)
    assert torch.equal(after[12_800:], after[:3_200])
    assert at_speed(tone(7_000), 125)[200:12_600].abs().max() < 1e-2


def test_each_row_has_a_speed_of_its_own_drawn_evenly():
    click = torch.zeros(1_000, 10_000)
    click[:, 5_000] = 1
    torch.manual_seed(0)
    played = SpeedPerturbation((0.85, 1.18), p=1)(click)
    assert played.shape == click.shape
    counts = np.bincount((500_000 / played.argmax(dim=1)).round().int() - 85, minlength=34)
    even = np.ones(34)
    even[[0, -1]] = 0.5  # what is rounded to the ends comes from one side
    assert chisquare(counts, even * 1_000 / even.sum()).pvalue > 0.01
