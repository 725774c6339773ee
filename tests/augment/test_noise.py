"""Noise is as strong and as coloured as was drawn."""

import numpy as np
import pytest
import torch
from scipy.signal import welch
from scipy.stats import kstest

from deepfake_lab.augment.noise import ColouredNoise


def snr_db(wave, after):
    """Ratio of the RMS of waveforms to that of what was added, in dB."""
    rms = [np.sqrt(np.mean(np.square(np.asarray(part, np.float64)), axis=-1)) for part in (wave, after - wave)]
    return 20 * np.log10(rms[0] / rms[1])


def test_ratios_are_drawn_evenly_from_the_range(voice):
    batch = voice * torch.logspace(-2, 0, 300).unsqueeze(1)
    torch.manual_seed(0)
    measured = snr_db(batch, ColouredNoise(snr_db=(-5, 20), p=1)(batch))
    assert kstest(measured, "uniform", (-5, 25)).pvalue > 0.01


@pytest.mark.parametrize("snr", [-5, 0, 20, 40])
def test_a_ratio_is_kept_to_half_a_decibel(voice, snr):
    torch.manual_seed(0)
    measured = snr_db(voice, ColouredNoise(snr_db=(snr, snr), p=1)(voice.repeat(4, 1)))
    np.testing.assert_allclose(measured, snr, atol=0.5)


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_power_falls_by_the_exponent(voice, exponent):
    batch = voice.repeat(1, 8).repeat(4, 1)
    torch.manual_seed(0)
    noise = ColouredNoise(exponent=(exponent, exponent), snr_db=(0, 0), p=1)(batch) - batch
    frequency, power = welch(noise.numpy(), 16_000, nperseg=2_048)
    heard = (frequency > 100) & (frequency < 7_000)
    slope, _ = np.polyfit(np.log(frequency[heard]), np.log(power.mean(axis=0)[heard]), 1)
    assert -slope == pytest.approx(exponent, abs=0.15)
