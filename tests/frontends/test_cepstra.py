"""mel and mfcc against librosa and torchaudio, both computed here."""

import math

import librosa
import pytest
import torch
import torchaudio

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc
from deepfake_lab.types import LabError

FLOOR = 1e-6


@pytest.fixture(scope="module")
def wave():
    """Two seconds of harmonics with vibrato over noise, silent at the end, ``(1, 32000)``."""
    time = torch.arange(32_000) / 16_000
    phase = 2 * math.pi * 140 * time + 3 * torch.sin(2 * math.pi * 5 * time)
    voice = sum(torch.sin(k * phase) / k for k in range(1, 40))
    wave = 0.05 * voice + 0.001 * torch.randn(32_000, generator=torch.Generator().manual_seed(1))
    wave[28_000:] = 0
    return wave.unsqueeze(0)


def librosa_log_mel(wave, bins, fft_size, window, hop):
    power = librosa.feature.melspectrogram(
        y=wave[0].numpy(),
        sr=16_000,
        n_fft=fft_size,
        win_length=window,
        hop_length=hop,
        n_mels=bins,
        pad_mode="reflect",
    )
    return torch.log(torch.from_numpy(power) + FLOOR)[None, None, :, :-1]


def torchaudio_log_mel(wave, bins, fft_size, window, hop):
    transform = torchaudio.transforms.MelSpectrogram(
        16_000, fft_size, window, hop, n_mels=bins, norm="slaney", mel_scale="slaney"
    )
    return torch.log(transform(wave) + FLOOR).unsqueeze(1)[..., :-1]


@pytest.mark.parametrize("reference", [librosa_log_mel, torchaudio_log_mel])
@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_mel_equals(wave, engine, reference):
    features = Mel(normalise="none", engine=engine)(wave)
    torch.testing.assert_close(features, reference(wave, 128, 1024, 640, 320), rtol=0, atol=2e-3)


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_mfcc_equals_librosa(wave, engine):
    log_mel = librosa_log_mel(wave, 80, 512, 512, 256)[0, 0].numpy()
    expected = torch.from_numpy(librosa.feature.mfcc(S=log_mel, n_mfcc=40, dct_type=2, norm="ortho"))
    torch.testing.assert_close(Mfcc(normalise="none", engine=engine)(wave)[0, 0], expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_mfcc_equals_torchaudio(wave, engine):
    spectrum = {"n_fft": 512, "hop_length": 256, "n_mels": 80, "norm": "slaney", "mel_scale": "slaney"}
    expected = torchaudio.transforms.MFCC(16_000, 40, log_mels=True, melkwargs=spectrum)(wave)[..., :-1]
    torch.testing.assert_close(Mfcc(normalise="none", engine=engine)(wave)[0], expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize(("frontend", "shape"), [(Mel(), (1, 128, 200)), (Mfcc(), (1, 40, 250))])
def test_four_seconds_have_the_customary_shape(frontend, shape):
    assert frontend(torch.zeros(2, 64_000)).shape == (2, *shape)


@pytest.mark.parametrize("make", [Mel, Mfcc])
@pytest.mark.parametrize("gain", [0.03, 30.0])
def test_normalised_features_do_not_depend_on_the_gain(wave, make, gain):
    frontend = make()
    torch.testing.assert_close(frontend(gain * wave), frontend(wave), rtol=0, atol=0.02)


def test_without_normalisation_gain_shifts_the_logarithm(wave):
    mel = Mel(normalise="none", floor=1e-30)
    voiced = wave[:, :28_000]
    torch.testing.assert_close(mel(2 * voiced) - mel(voiced), torch.full((1, 1, 128, 87), 2 * math.log(2)))


def test_silence_lies_on_the_floor():
    assert torch.allclose(Mel()(torch.zeros(1, 16_000)), torch.tensor(math.log(FLOOR)))


def test_rounding_noise_and_silence_look_alike(wave):
    """Speech at -25 dB with 16-bit rounding noise or digital zeros behind it: no cue lies in the pause."""
    speech = 10 ** (-25 / 20) * wave / wave.square().mean().sqrt()
    rounding = (torch.rand(1, 4_000, generator=torch.Generator().manual_seed(2)) - 0.5) / 2**15
    dithered = torch.cat([speech[:, :28_000], rounding], dim=1)
    pause = slice(-10, -2)
    assert (Mel()(dithered) - Mel()(speech))[..., pause].mean().abs() < 1.0  # of the 20 between floor and speech


def test_more_coefficients_than_filters_are_refused():
    with pytest.raises(LabError, match="coefficients=81 exceed mels=80"):
        Mfcc(coefficients=81)


def test_hop_below_a_sample_is_refused():
    with pytest.raises(LabError, match="less than one sample"):
        Mel(hop_ms=0.01)
