"""mel, mfcc and lfcc against librosa and torchaudio, computed here."""

import math

import librosa
import pytest
import torch
import torchaudio

from deepfake_lab.frontends.lfcc import Lfcc
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc
from deepfake_lab.frontends.post import Post
from deepfake_lab.types import LabError

FLOOR = 1e-6


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


def torchaudio_lfcc(wave, coefficients, filters, fft_size, window, hop, f_max, pre_emphasis, floor):
    functional = torchaudio.functional
    emphasised = functional.preemphasis(wave, pre_emphasis)
    power = functional.spectrogram(
        emphasised, 0, torch.hamming_window(window), fft_size, hop, window, power=2.0, normalized=False
    )[..., :-1]
    filtered = functional.linear_fbanks(fft_size // 2 + 1, 0.0, f_max, filters, 16_000).T @ power
    cepstra = functional.create_dct(coefficients, filters, "ortho").T @ torch.log10(filtered + floor)
    cepstra[:, 0] = torch.log10(power.sum(dim=1) / fft_size + floor)
    deltas = functional.compute_deltas(cepstra, win_length=3)
    return torch.cat([cepstra, deltas, functional.compute_deltas(deltas, win_length=3)], dim=1)


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_lfcc_equals_the_baseline_of_2021(wave, engine):
    features = Lfcc(normalise="none", post=Post(deltas=2), engine=engine)(wave)[0]
    expected = torchaudio_lfcc(wave, 20, 20, 1024, 320, 160, 4000.0, 0.97, 1e-4)
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-3)


def test_lfcc_equals_torchaudio_with_other_parameters(wave):
    lfcc = Lfcc(13, 30, 16.0, 32.0, 512, f_max=8000.0, pre_emphasis=0.9, floor=1e-6, normalise="none")
    expected = torchaudio_lfcc(wave, 13, 30, 512, 512, 256, 8000.0, 0.9, 1e-6)[:, :13]
    torch.testing.assert_close(lfcc(wave)[0], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("make", [Mel, Mfcc, Lfcc])
def test_trainable_filters_begin_with_the_same_numbers_and_learn(wave, make):
    fixed, trained = make(), make(trainable=True)
    torch.testing.assert_close(trained(wave), fixed(wave))
    (weights,) = trained.parameters()
    trained(wave).square().sum().backward()
    assert torch.isfinite(weights.grad).all()
    assert weights.grad.abs().sum() > 0
    assert list(fixed.parameters()) == []


@pytest.mark.parametrize(
    ("frontend", "shape"),
    [(Mel(), (1, 128, 200)), (Mfcc(), (1, 40, 250)), (Lfcc(post=Post(deltas=2)), (1, 60, 400))],
)
def test_four_seconds_have_the_customary_shape(frontend, shape):
    assert frontend(torch.zeros(2, 64_000)).shape == (2, *shape)


@pytest.mark.parametrize("make", [Mel, Mfcc, Lfcc])
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
    with pytest.raises(LabError, match="coefficients=21 exceed filters=20"):
        Lfcc(coefficients=21)


def test_hop_below_a_sample_is_refused():
    with pytest.raises(LabError, match="less than one sample"):
        Mel(hop_ms=0.01)
