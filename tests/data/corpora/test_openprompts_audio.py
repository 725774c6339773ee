"""What happens to every clip of openprompts."""

import numpy as np
import pytest
from scipy.signal import welch

from deepfake_lab.data.corpora.openprompts_audio import FRAME, finish, g722, pieces, rms_db


def test_pieces_begin_and_end_with_speech_and_cut_at_the_pause():
    draw = np.random.default_rng(1)
    wave = 1e-5 * draw.standard_normal(16_000 * 9)
    wave[8000:80000] += 0.1 * draw.standard_normal(72000)
    wave[84800:128000] += 0.1 * draw.standard_normal(43200)
    first, second = pieces(wave.astype(np.float32))
    assert (first.start, first.stop, second.start, second.stop) == (8000, 80000, 84800, 128000)
    assert first.level == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("wave", [np.zeros(32_000), np.full(32_000, 1e-3), np.zeros(0), 0.1 * np.ones(8_000)])
def test_there_is_no_piece_in_silence_and_in_short_files(wave):
    assert pieces(wave.astype(np.float32)) == []


@pytest.fixture
def uneven():
    """Noise with DC, digital silence in its middle and strong, one-sided peaks: (T,), float32."""
    draw = np.random.default_rng(2)
    wave = 0.05 * draw.standard_normal(48_000)
    wave[::200] += 0.8
    wave[20_000:28_000] = 0
    return (wave + 0.1).astype(np.float32)


def test_finish_takes_away_what_tells_classes_apart(uneven):
    samples = finish(uneven, -20.0, (5, 10), 7).astype(float) / 32768
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
    plain = outside_db(finish(uneven, -20.0, (5, 10), 7))
    t = np.arange(len(uneven)) / 16_000
    for frequency in (50, 7500):
        other = (uneven + 0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)
        assert outside_db(other) > outside_db(uneven) + 5
        assert outside_db(finish(other, -20.0, (5, 10), 7)) == pytest.approx(plain, abs=1)


def outside_db(wave):
    """Share of the energy below 80 Hz and above 7 kHz."""
    frequency, power = welch(np.asarray(wave, float), 16_000, nperseg=4096)
    return 10 * np.log10(power[(frequency < 80) | (frequency > 7000)].sum() / power.sum())


def test_finish_puts_line_noise_around_the_speech(uneven):
    samples = finish(uneven, -20.0, (5, 10), 7).astype(float) / 32768
    assert len(samples) == len(uneven) + 15 * FRAME
    for margin in (samples[: 4 * FRAME], samples[-9 * FRAME :]):
        assert -62 < rms_db(margin) < -44


def test_finish_follows_its_seed(uneven):
    first, again, other = (finish(uneven, -20.0, (5, 10), seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_g722_keeps_length_and_sound():
    t = np.arange(16_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 440 * t)
    decoded = g722(tone)
    assert (decoded.shape, decoded.dtype) == (tone.shape, np.int16)
    assert np.argmax(np.abs(np.fft.rfft(decoded))) == 440
