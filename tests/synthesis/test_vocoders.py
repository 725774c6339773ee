"""What each signal-processing vocoder claims of itself."""

import numpy as np
import pytest
from make_openprompts import speech
from scipy.linalg import solve_toeplitz

from deepfake_lab.synthesis.codec import Codec
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.griffin_lim_linear import GriffinLimLinear
from deepfake_lab.synthesis.lpc import levinson
from deepfake_lab.synthesis.mel_inversion import MelInversion
from deepfake_lab.synthesis.phase import PhaseReplacement, _minimum_phase
from deepfake_lab.synthesis.stft import istft, stft
from deepfake_lab.synthesis.world import World
from deepfake_lab.synthesis.world_perturbed import WorldPerturbed
from deepfake_lab.types import LabError

RATE = 16_000
NEUTRAL = {"frame_ms": [5.0], "f0_scale": (1, 1), "f0_jitter": (0, 0), "warp": (1, 1), "aperiodicity": (1, 1)}


@pytest.fixture(scope="module")
def wave():
    return speech(1.0, 200, 1)[:-7].astype(np.float32)


@pytest.mark.parametrize(("length", "n_fft", "hop"), [(1, 256, 128), (77, 256, 64), (16_001, 512, 64)])
def test_what_was_transformed_comes_back(length, n_fft, hop):
    wave = np.random.default_rng(0).standard_normal(length)
    np.testing.assert_allclose(istft(stft(wave, n_fft, hop), n_fft, hop, length), wave, atol=1e-12)


def test_levinson_solves_the_normal_equations():
    frames = np.random.default_rng(0).standard_normal((3, 200))
    lags = np.stack([np.correlate(frame, frame, mode="full")[199:212] for frame in frames])
    filters, error = levinson(lags, 12)
    for found, left, lag in zip(filters, error, lags, strict=True):
        expected = solve_toeplitz(lag[:12], -lag[1:13])
        np.testing.assert_allclose(found, [1, *expected], atol=1e-4)
        assert left == pytest.approx(lag[0] + expected @ lag[1:13], rel=1e-3)


def test_a_minimum_phase_is_found_from_its_magnitude():
    known = np.fft.rfft(np.convolve([1, -0.5], [1, 0.8, 0.3]), 256)  # all zeros inside the unit circle
    np.testing.assert_allclose(_minimum_phase(np.abs(known)[None], 256)[0], known, atol=1e-6)


@pytest.mark.parametrize("kind", ["zero", "minimum", "random"])
def test_a_phase_that_is_not_random_buzzes_at_the_frame_rate(kind):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    copied = PhaseReplacement(kind, n_ffts=[512]).vocode(noise, 0)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(copied, 2 * RATE)) ** 2)
    periodic = correlation[128] / correlation[0]  # a quarter of 512
    assert periodic < 0.1 if kind == "random" else periodic > 0.3


def log_spectrum(wave):
    return np.log(np.abs(stft(wave, 1024, 256)) + 1e-2)


def test_what_a_bottleneck_loses(wave):
    """Linear Griffin-Lim keeps magnitudes, mel inversion phases, mel Griffin-Lim neither."""
    linear = GriffinLimLinear(n_ffts=[1024], overlaps=[4], n_iter=(32, 32)).vocode(wave, 0)
    inverted, lost = MelInversion(n_mels=[40]).vocode(wave, 0), GriffinLim().vocode(wave, 0)
    copies = (inverted, linear, lost)
    blurred = [np.abs(log_spectrum(copy) - log_spectrum(wave)).mean() for copy in copies]
    assert blurred[1] < 0.7 * min(blurred[0], blurred[2])
    true, strong = stft(wave, 1024, 256), np.abs(stft(wave, 1024, 256)) > 1
    turned = [np.abs(np.angle(stft(copy, 1024, 256) * true.conj())[strong]).mean() for copy in copies]
    assert turned[0] < 0.5 < 1 < min(turned[1:])


def test_world_perturbed_changes_what_it_says(wave):
    plain = World().vocode(wave, 0)
    neutral = WorldPerturbed(**NEUTRAL).vocode(wave, 0)
    np.testing.assert_allclose(neutral, plain * (neutral.std() / plain.std()), atol=2e-3)
    higher = WorldPerturbed(**NEUTRAL | {"f0_scale": (1.25, 1.25)}).vocode(wave, 0)
    assert median_pitch(higher) == pytest.approx(1.25 * median_pitch(plain), rel=0.05)
    warped = WorldPerturbed(**NEUTRAL | {"warp": (1.25, 1.25)}).vocode(wave, 0)
    assert centroid(warped) > 1.1 * centroid(plain)
    noisy = WorldPerturbed(**NEUTRAL | {"aperiodicity": (0.1, 0.1)}).vocode(wave, 0)
    assert median_pitch(warped) == pytest.approx(median_pitch(plain), rel=0.05)
    assert harmonicity(noisy) < harmonicity(plain) - 0.05


def median_pitch(wave):
    """Pitch in Hz by `pyworld`'s other estimator, which the vocoder does not use."""
    import pyworld

    f0, _ = pyworld.harvest(wave.astype(np.float64), RATE)
    return np.median(f0[f0 > 0])


def centroid(wave):
    power = np.abs(np.fft.rfft(wave)) ** 2
    return (np.arange(len(power)) * power).sum() / power.sum()


def harmonicity(wave):
    """Mean autocorrelation at the best pitch period, of frames of 40 ms."""
    frames = wave[: len(wave) // 640 * 640].reshape(-1, 640) * np.hanning(640)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)
    return (correlation[:, 40:200].max(axis=1) / (correlation[:, 0] + 1e-9)).mean()


@pytest.mark.parametrize("name", Codec().codecs)
def test_codecs_come_back_in_time(name, wave):
    copied = Codec([name]).vocode(wave, 0).astype(np.float64)
    likeness = np.correlate(copied, wave[400:-400], mode="valid") / (np.linalg.norm(copied) * np.linalg.norm(wave))
    assert abs(int(np.argmax(likeness)) - 400) <= 2  # samples
    assert 0.6 < likeness.max() < 0.999


def test_codecs_that_do_not_exist_are_refused():
    with pytest.raises(LabError, match=r"no codec 'mp3'\. Choose from gsm, amr_nb, g723_1"):
        Codec(["gsm", "mp3"])
