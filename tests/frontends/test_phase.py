import librosa
import numpy as np
import pytest
import torch

from deepfake_lab.frontends.phase import Phase, signed_power
from deepfake_lab.types import LabError

SPREAD = np.sqrt(np.sum((np.pi / 512 * np.sin(2 * np.pi * np.arange(512) / 512)) ** 2) / 192)
"""Norm of the window's derivative over the norm of the Hann window of 512 samples, whose square is 3/8 of them."""


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")  # librosa's own
@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_instantaneous_frequency_equals_librosas_reassignment(wave, engine):
    frequencies, _, magnitude = librosa.reassigned_spectrogram(
        wave[0].numpy(),
        sr=16_000,
        n_fft=512,
        hop_length=256,
        reassign_times=False,
        fill_nan=True,
        clip=False,
        pad_mode="reflect",
    )
    bins = np.arange(257)[:, None] * 16_000 / 512
    deviation = 2 * np.pi * (frequencies - bins) / 16_000  # radians a sample
    expected = deviation / np.hypot(deviation, SPREAD)
    features = Phase(normalise="none", floor=1e-9, engine=engine)(wave)[0, 0].numpy()
    loud = (magnitude > 1e-2)[1:-1, :-1]  # zeros of the spectrum are places of rounding noise
    assert loud.mean() > 0.5
    np.testing.assert_allclose(features[1:-1][loud], expected[1:-1, :-1][loud], atol=0.02)


def test_instantaneous_frequency_tells_where_in_a_bin_a_tone_is():
    for offset in (-0.4, 0.0, 0.3):
        frequency = (40 + offset) * 16_000 / 512
        tone = torch.sin(2 * torch.pi * frequency * torch.arange(16_000, dtype=torch.float64) / 16_000).float()
        feature = Phase()(tone.unsqueeze(0))[0, 0, 40, 5:-5]
        deviation = SPREAD * feature / (1 - feature**2).sqrt()
        torch.testing.assert_close(
            deviation * 512 / (2 * torch.pi), torch.full_like(feature, offset), atol=2e-3, rtol=0
        )


def test_white_noise_is_uniform_between_the_bounds():
    features = Phase()(torch.randn(8, 64_000, generator=torch.Generator().manual_seed(0)))[:, 0, 2:-2, 2:-2]
    quantiles = torch.quantile(features.flatten()[::7], torch.linspace(0, 1, 11))
    torch.testing.assert_close(quantiles, torch.linspace(-1, 1, 11), atol=0.02, rtol=0)


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_modified_group_delay_is_the_definition(wave, engine):
    """One frame in double precision; the cepstrum by NumPy's inverse transform."""
    frame, hop, floor = 30, 256, 1e-5
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    samples = wave[0].double().numpy()[frame * hop - 256 : frame * hop + 256] * window
    spectrum, timed = np.fft.rfft(samples), np.fft.rfft(samples * np.arange(512) / 512)
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) ** 2 + floor))
    cepstrum[30:-29] = 0
    smooth = np.exp(np.fft.rfft(cepstrum).real)
    delay = (spectrum.real * timed.real + spectrum.imag * timed.imag) / smooth**0.9
    expected = np.sign(delay) * np.abs(delay) ** 0.4
    features = Phase("modified_group_delay", normalise="none", floor=floor, engine=engine)(wave)[0, 0, :, frame]
    np.testing.assert_allclose(features, expected, atol=0.02)


def test_a_click_late_in_the_window_has_a_long_group_delay():
    wave = torch.zeros(1, 8_000)
    wave[:, 4_096] = 1.0  # 256 samples, half a window, from the start of frame 16
    phase = Phase("modified_group_delay", alpha=1.0, gamma=1.0, normalise="none", floor=1e-9)
    for frame, delay in [(16, 0.5), (16.5, 0.25)]:
        shifted = torch.roll(wave, round((16 - frame) * 256), dims=1)
        torch.testing.assert_close(phase(shifted)[0, 0, :, 16], torch.full((257,), delay), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["instantaneous_frequency", "modified_group_delay"])
@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e-6, 1.0, 1e3])
def test_gradients_are_finite_at_any_level(kind, scale):
    wave = (scale * torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0))).requires_grad_()
    for normalise in ("none", "level"):
        features = Phase(kind, normalise=normalise)(wave)
        features.square().sum().backward()
        assert torch.isfinite(features).all()
        assert torch.isfinite(wave.grad).all()
        wave.grad = None


@pytest.mark.parametrize("kind", ["instantaneous_frequency", "modified_group_delay"])
def test_silence_has_no_phase(kind):
    assert (Phase(kind)(torch.zeros(1, 8_000)) == 0).all()


def test_signed_power_has_a_slope_at_zero():
    values = torch.tensor([-4.0, 0.0, 4.0], requires_grad=True)
    signed_power(values, 0.5).sum().backward()
    torch.testing.assert_close(signed_power(values, 0.5).detach(), torch.tensor([-2.0, 0.0, 2.0]))
    assert 0 < values.grad[1] < torch.inf


@pytest.mark.parametrize("lifter", [0, 258])
def test_lifter_beyond_the_cepstrum_is_refused(lifter):
    with pytest.raises(LabError, match=f"lifter={lifter}: there are 257"):
        Phase("modified_group_delay", lifter=lifter)
