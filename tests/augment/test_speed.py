"""Faster is higher and shorter."""

import numpy as np
import pytest

from deepfake_lab.augment.speed import SpeedPerturbation


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.1])
def test_a_tone_is_moved_by_the_factor_and_fills_the_window(factor):
    wave = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    after = SpeedPerturbation((factor, factor), p=1)(wave, np.random.default_rng(0))
    heard = after[: int(16_000 / max(factor, 1)) - 200]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), 16_000))
    assert np.argmax(spectrum) == pytest.approx(1_000 * factor, abs=1)
    assert after[-1_000:].std() > 0.6


def test_factors_spread_over_the_range():
    click = np.zeros(10_000, np.float32)
    click[5_000] = 1
    draw, augmentation = np.random.default_rng(0), SpeedPerturbation(p=1)
    factors = [5_000 / np.argmax(augmentation(click, draw)) for _ in range(100)]
    assert 0.9 <= min(factors) < 0.92
    assert 1.08 < max(factors) <= 1.1
