"""Every generator of `conf/vocoder`, and what it is made of."""

import hydra
import librosa
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from deepfake_lab.config import CONF
from deepfake_lab.synthesis.neural.generator import LogMel
from deepfake_lab.synthesis.neural.hifigan import HifiGan
from deepfake_lab.synthesis.neural.multiband import FilterBank
from deepfake_lab.synthesis.neural.pitch import fundamental
from deepfake_lab.synthesis.neural.pwg import ParallelWaveGan
from deepfake_lab.synthesis.neural.source_filter import harmonic_source
from deepfake_lab.synthesis.neural.vocos import Vocos
from deepfake_lab.synthesis.neural.wavegrad import WaveGrad
from deepfake_lab.types import LabError

NAMES = sorted(path.stem for path in CONF.glob("vocoder/*.yaml"))
RATE = 16_000


@pytest.fixture(scope="module")
def made():
    """Each generator in its default size, untrained."""
    torch.manual_seed(0)
    return {name: hydra.utils.instantiate(OmegaConf.load(CONF / f"vocoder/{name}.yaml").vocoder) for name in NAMES}


def tone(hertz, samples=4000):
    t = torch.arange(samples) / RATE
    return 0.1 * sum(torch.sin(2 * torch.pi * k * hertz * t + k) for k in range(1, 9))[None]


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_copies_any_length_and_can_be_trained(made, name):
    generator = made[name]
    for length in (1, generator.hop - 1, generator.hop, 3 * generator.hop + 1):
        assert generator(torch.ones(2, length)).shape == (2, length)
    assert 0.2e6 < sum(parameter.numel() for parameter in generator.parameters()) < 1.5e6
    generator(tone(150.0)).square().mean().backward()
    for parameter in generator.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_frame_says_is_heard_around_its_centre(made, name):
    generator, frame = made[name], 60
    features = generator.analyse(tone(150.0, 120 * generator.hop))
    other = features.clone()
    other[:, :-1, frame] += 1
    with torch.inference_mode():
        waves = []
        for told in (features, other):
            torch.manual_seed(1)
            waves.append(generator.generate(told))
    change = (waves[0] - waves[1])[0].double().square()
    centre = (change * torch.arange(len(change))).sum() / change.sum()
    assert change.sum() > 0
    assert abs(centre - frame * generator.hop) < generator.hop / 2


@pytest.mark.parametrize("factors", [[3, 2], [5, 4], [2, 7]])
def test_odd_factors_keep_the_length_too(factors):
    generator = HifiGan(factors=factors, channels=8, n_mels=8, n_fft=256, residual_kernels=[3], activation="snake")
    assert generator(torch.zeros(1, 1001)).shape == (1, 1001)


@pytest.mark.parametrize("rate", [22050, 24000])
def test_speech_passes_through_another_rate_with_its_band_and_its_time(rate):
    generator = Vocos(n_mels=16, width=8, layers=1, rate=rate)
    wave = sum(torch.cos(2 * torch.pi * hertz / RATE * torch.arange(8001)) for hertz in (100, 3000, 7700))[None]
    there = generator.heard(wave)
    assert there.shape[-1] - 256 < 8001 * rate / RATE <= there.shape[-1]
    assert (generator.returned(there, 8001) - wave)[:, 200:-200].abs().max() < 0.02


@pytest.mark.parametrize(
    "settings", [{"factors": [3, 5]}, {"channels": 12}, {"n_fft": 256}, {"n_mels": 400}, {"rate": 8000}]
)
def test_sizes_that_do_not_fit_are_refused(settings):
    with pytest.raises(LabError, match=rf"vocoder\.({next(iter(settings))}|factors)="):
        HifiGan(**settings)


@pytest.mark.parametrize("kind", [ParallelWaveGan, WaveGrad])
@pytest.mark.parametrize("fold", [3, 6, 512])
def test_samples_that_cannot_be_folded_are_refused(kind, fold):
    with pytest.raises(LabError, match=rf"vocoder\.fold={fold}: must .* hop of 256"):
        kind(fold=fold)


@pytest.mark.parametrize("bands", [2, 4])
def test_a_filter_bank_joins_what_its_analysis_has_split(bands):
    bank = FilterBank(bands)
    half = bank.filters.shape[-1] // 2
    wave = torch.randn(1, 1, 800, generator=torch.Generator().manual_seed(0))
    split = torch.nn.functional.conv1d(wave, bank.filters, stride=bands, padding=half)
    error = (bank(split) - wave[0])[:, 2 * half : -2 * half]
    assert error.square().mean() < 1e-4
    tones = [torch.cos(torch.pi * (band + 0.5) / bands * torch.arange(800.0)) for band in range(bands)]
    power = torch.nn.functional.conv1d(torch.stack(tones)[:, None], bank.filters, stride=bands).square().mean(dim=-1)
    assert power.argmax(dim=1).tolist() == list(range(bands))


def test_denoising_ends_at_the_waveform_that_each_step_foretells(monkeypatch):
    generator = WaveGrad(width=8, channels=8, layers=1)
    wave = tone(150.0, 1024)
    features = generator.analyse(wave)
    level = generator._level(features)
    angles, powers = [], []

    def velocity(noisy, angle, _):
        angles.append(float(angle))
        powers.append(float((noisy - torch.cos(angle) * wave / level).square().mean()))
        noise = (noisy - torch.cos(angle) * wave / level) / torch.sin(angle)
        return torch.cos(angle) * noise - torch.sin(angle) * wave / level

    monkeypatch.setattr(generator, "_velocity", velocity)
    np.testing.assert_allclose(generator.generate(features), wave, atol=1e-5)
    assert angles == pytest.approx(np.pi / 2 * np.linspace(1, 1 / 6, 6))
    assert powers == pytest.approx(np.sin(angles) ** 2, rel=0.2)  # each step meets the noise that it is told of


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_the_level_of_noise_is_read_from_its_mel_spectrogram(rate):
    mel = LogMel(80, 1024, 256, rate)
    wave = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    heard = 0.1 * np.sqrt(RATE / rate)  # filters end at 8 kHz
    assert float(mel.level(mel(wave))[..., 4:-4].mean()) == pytest.approx(heard, rel=0.15)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({}, {"sr": RATE, "fmax": 8000, "htk": True, "norm": None}),
        ({"rate": 22_050}, {"sr": 22_050, "fmax": 8000, "htk": True, "norm": None}),
        ({"rate": 22_050, "slaney": True}, {"sr": 22_050, "fmax": 8000}),
        ({"rate": 24_000, "slaney": True, "top_hz": 12_000}, {"sr": 24_000}),
    ],
)
def test_mel_filters_are_those_of_librosa(given, same):
    expected = librosa.filters.mel(n_fft=1024, n_mels=80, **same)
    np.testing.assert_allclose(LogMel(80, 1024, 256, **given).filters, expected, rtol=0, atol=1e-4 * expected.max())


def test_log_mel_agrees_with_independent_arithmetic():
    wave = 0.1 * np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, 256), 512)[::100]
    amplitude = np.abs(np.fft.rfft(frames * np.hanning(513)[:-1]))
    bank = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, htk=True, norm=None)
    expected = np.log(np.maximum(amplitude @ bank.T, 1e-5)).T
    np.testing.assert_allclose(LogMel(40, 512, 100)(torch.from_numpy(wave)[None])[0], expected, atol=1e-3)


@pytest.mark.parametrize("hertz", [70.0, 133.7, 220.0, 410.0])
def test_the_fundamental_of_a_tone_is_found(hertz):
    found = fundamental(tone(hertz), 200)
    assert found.shape == (1, 21)
    assert found[0, 4:-4].numpy() == pytest.approx(hertz, rel=0.005)


def test_noise_and_silence_have_no_fundamental():
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert (fundamental(noise, 200) > 0).float().mean() < 0.02
    assert not fundamental(torch.zeros(1, RATE), 200).any()


@pytest.mark.parametrize("hertz", [70.0, 431.0])
def test_harmonics_are_the_sum_of_their_cosines(hertz):
    pitch = torch.full((1, 21), hertz)
    pitch[:, 15:] = 0
    source = harmonic_source(pitch, 100)[0].double()
    number = int(8000 // hertz)
    phase = 2 * np.pi * hertz / RATE * np.arange(1, 1451)
    expected = sum(np.cos(k * phase) for k in range(1, number + 1)) * np.sqrt(2 / number)
    np.testing.assert_allclose(source[:1450], expected, atol=2e-3 * number)
    assert source[:1400].square().mean() == pytest.approx(1, rel=0.1)
    assert not source[1450:].any()
