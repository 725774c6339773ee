"""RawBoost as the paper has it, against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy import signal

from deepfake_lab.augment import rawboost
from deepfake_lab.augment.rawboost import RawBoost, convolutive, impulsive, notch_filters, stationary


@pytest.fixture
def certain(monkeypatch):
    """Nothing is left to chance but noise: five notches of 600 Hz at 2 kHz by 51 taps each, higher powers at -10 dB."""
    for name, value in {
        "CENTRE_HZ": (2_000, 2_000),
        "WIDTH_HZ": (600, 600),
        "HALF_TAPS": (25, 25),
        "POWER_GAIN_DB": (-10, -10),
        "IMPULSES": (0.1, 0.1),
        "SNR_DB": (15, 15),
    }.items():
        monkeypatch.setattr(rawboost, name, value)


def official_filter():
    """The same filter by the recipe of the authors: its taps."""
    taps = np.ones(1)
    for _ in range(5):
        taps = np.convolve(signal.firwin(51, [1_700, 2_300], window="hamming", fs=16_000), taps)
    _, response = signal.freqz(taps, fs=16_000)
    return taps / np.abs(response).max()


def test_filters_are_the_authors(certain):
    ours = notch_filters(torch.zeros(1, 1), 2)[0].numpy()
    theirs = official_filter()
    delay = (ours.shape[1] - len(theirs)) // 2
    for row in ours:
        np.testing.assert_allclose(row, np.pad(theirs, delay), atol=5e-4)


def test_drawn_filters_are_symmetric_and_attenuate_but_never_amplify(voice):
    torch.manual_seed(0)
    taps = notch_filters(voice.repeat(20, 1), 5)
    torch.testing.assert_close(taps, taps.flip(-1), atol=1e-5, rtol=0)
    response = torch.fft.rfft(taps, 4_096).abs()
    assert response.amax() < 1.05
    assert len(torch.unique(response.argmin(dim=-1))) > 20
    assert response.amin(dim=-1).max() < 0.9


def test_convolutive_noise_is_the_filtered_powers(certain, voice):
    wave = voice.double().numpy()
    taps = official_filter()
    expected = sum(
        (1 if power == 1 else 10 ** (-10 / 20)) * np.convolve(wave**power, taps, mode="same") for power in range(1, 6)
    )
    expected -= expected.mean()
    for scale in (1.0, 5.0):  # what is louder than full scale is scaled down first
        peak = max(1.0, scale * np.abs(wave).max())
        if peak == 1.0:
            torch.testing.assert_close(convolutive(voice[None])[0].double(), torch.tensor(expected), atol=1e-4, rtol=0)
        loud = convolutive(scale * voice[None])
        assert loud.abs().max() <= 1
        torch.testing.assert_close(loud, convolutive(scale * voice[None] / peak))


def test_impulses_hit_the_drawn_share_by_at_most_twice_the_sample(certain, voice):
    torch.manual_seed(0)
    change = (impulsive(voice.repeat(50, 1)) / voice - 1).abs()
    assert (change > 1e-5).float().mean().item() == pytest.approx(0.1, abs=0.005)
    assert change.max() < 2.001
    assert change.max() > 1.5


def test_stationary_noise_has_its_ratio_and_its_notch(certain, voice):
    torch.manual_seed(0)
    batch = voice.repeat(8, 1)
    noise = stationary(batch) - batch
    ratio = 10 * torch.log10(batch.square().mean(dim=1) / noise.square().mean(dim=1))
    torch.testing.assert_close(ratio, torch.full((8,), 15.0), atol=0.5, rtol=0)
    frequency, power = signal.welch(noise.numpy(), 16_000, nperseg=512)
    power = power.mean(axis=0)
    assert power[np.abs(frequency - 2_000) < 100].mean() < 0.01 * power[frequency > 4_000].mean()


@pytest.mark.parametrize(("algorithm", "kinds"), [(1, "c"), (2, "i"), (3, "s"), (4, "cis"), (5, "ci")])
def test_algorithms_are_series(voice, algorithm, kinds):
    torch.manual_seed(0)
    after = RawBoost(algorithm, p=1)(voice[None])
    torch.manual_seed(0)
    torch.rand(1)  # whether
    expected = voice[None]
    for kind in kinds:
        expected = {"c": convolutive, "i": impulsive, "s": stationary}[kind](expected)
    torch.testing.assert_close(after, expected)
