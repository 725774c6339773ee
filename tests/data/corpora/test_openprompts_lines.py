"""What happens to every clip of openprompts."""

import numpy as np
import pytest
from scipy.signal import welch

from deepfake_lab.data.corpora.openprompts_audio import FRAME, rms_db
from deepfake_lab.data.corpora.openprompts_lines import LINES, g722


@pytest.fixture
def uneven():
    """Noise with DC, digital silence in its middle and strong, one-sided peaks: (T,), float32."""
    draw = np.random.default_rng(2)
    wave = 0.05 * draw.standard_normal(48_000)
    wave[::200] += 0.8
    wave[20_000:28_000] = 0
    return (wave + 0.1).astype(np.float32)


def test_the_telephone_takes_away_what_tells_classes_apart(uneven):
    samples = LINES["telephone"].send(uneven, -20.0, (5, 10), 7).astype(float) / 32768
    speech = samples[5 * FRAME : -10 * FRAME]
    frequency, power = welch(speech, 16_000, nperseg=1024)
    middle = power[(frequency > 300) & (frequency < 6000)].mean()
    assert power[frequency > 7200].mean() < middle * 0.1
    assert power[frequency < 40].max() < middle * 5e-2
    assert abs(samples.mean()) <= 0.5 / 32768
    assert rms_db(speech) == pytest.approx(-20, abs=1)
    assert 9 < crest_db(speech) < 14 < crest_db(uneven)
    assert (samples[21_000:27_000] == 0).mean() < 0.05
    assert (
        abs(np.mean(speech**3))
        < 0.3 * np.abs(np.mean((uneven - uneven.mean()) ** 3.0)) / uneven.std() ** 3 * speech.std() ** 3
    )


def crest_db(wave):
    return 20 * np.log10(np.abs(wave).max()) - rms_db(wave)


def test_nothing_that_a_source_has_outside_the_band_is_heard(uneven):
    plain = outside_db(LINES["telephone"].send(uneven, -20.0, (5, 10), 7))
    t = np.arange(len(uneven)) / 16_000
    for frequency in (50, 7500):
        other = (uneven + 0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)
        assert outside_db(other) > outside_db(uneven) + 5
        assert outside_db(LINES["telephone"].send(other, -20.0, (5, 10), 7)) == pytest.approx(plain, abs=1)


def outside_db(wave):
    """Share of the energy below 80 Hz and above 7 kHz."""
    frequency, power = welch(np.asarray(wave, float), 16_000, nperseg=4096)
    return 10 * np.log10(power[(frequency < 80) | (frequency > 7000)].sum() / power.sum())


def test_line_noise_is_around_the_speech(uneven):
    samples = LINES["telephone"].send(uneven, -20.0, (5, 10), 7).astype(float) / 32768
    assert len(samples) == len(uneven) + 15 * FRAME
    for margin in (samples[: 4 * FRAME], samples[-9 * FRAME :]):
        assert -62 < rms_db(margin) < -44


@pytest.mark.parametrize("line", LINES)
def test_a_line_follows_its_seed(uneven, line):
    first, again, other = (LINES[line].send(uneven, -20.0, (5, 10), seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def sent(wave, seed, level=-20.0):
    return LINES["wide"].send(wave, level, (5, 10), seed).astype(float) / 32768


def test_the_wide_line_draws_its_edges_noise_and_polarity():
    tone = 0.1 * np.sin(2 * np.pi * 500 * np.arange(32_000) / 16_000) + 0.02  # with DC and nothing else
    clips = [sent(tone.astype(np.float32), seed, -30.0) for seed in range(12)]
    assert {len(clip) for clip in clips} == {32_000 + 15 * FRAME}
    assert [rms_db(clip[5 * FRAME : -10 * FRAME]) for clip in clips] == pytest.approx([-30] * 12, abs=0.1)
    assert max(abs(clip.mean()) for clip in clips) < 1e-3
    assert {np.sign(clip[5 * FRAME + 320 :][:16] @ tone[320:336]) for clip in clips} == {-1, 1}
    floors = [rms_db(clip[-9 * FRAME :]) + 30 for clip in clips]
    assert -61 < min(floors) < -45 < max(floors) < -29
    spectra = [welch(clip[-9 * FRAME :], 16_000, nperseg=512) for clip in clips]
    slopes = [np.log10(p[10:20].mean() / p[150:200].mean()) for _, p in spectra]
    assert -0.3 < min(slopes) < 0.4 < max(slopes) < 1.5
    edges = [f[p > p[150:200].mean() / 4].max() for f, p in spectra]
    assert 6900 < min(edges) < 7400 < max(edges) < 8001


def test_the_wide_line_fills_silence_and_hides_what_lies_beyond_its_edges(uneven):
    t = np.arange(len(uneven)) / 16_000
    for seed in range(3):
        assert (sent(uneven, seed, -35.0)[21_000:27_000] == 0).mean() < 0.5
        clips = [sent((uneven + rumble).astype(np.float32), seed) for rumble in (0, 0.02 * np.sin(2 * np.pi * 7 * t))]
        assert np.abs(clips[0] - clips[1]).max() < 2e-3


def test_loud_speech_is_lowered_until_its_peaks_fit(uneven):
    for level in (-24.0, -6.0):
        loud = sent(uneven, 1, level)
        assert rms_db(loud[5 * FRAME : -10 * FRAME]) == pytest.approx(-24, abs=0.1)
        assert np.abs(loud).max() < 0.95


def test_g722_keeps_length_and_sound():
    t = np.arange(16_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)
    decoded = g722(tone)
    assert (decoded.shape, decoded.dtype) == (tone.shape, np.int16)
    assert np.argmax(np.abs(np.fft.rfft(decoded))) == 440
