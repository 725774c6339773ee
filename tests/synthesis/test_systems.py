"""Every synthesis system, run for real."""

import numpy as np
import pytest
import torch
from scipy.signal import find_peaks

from deepfake_lab.synthesis import espeak
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.system import pace
from deepfake_lab.synthesis.world import World

VOCODERS = [World(), GriffinLim()]
RATE = 16_000


@pytest.fixture(scope="module")
def vowel():
    """A second of a 200 Hz pulse train through one resonance at 1 kHz: (T,), T no multiple of any hop."""
    t = np.arange(RATE + 77) / RATE
    harmonics = [np.exp(-(((200 * n - 1000) / 600) ** 2)) * np.sin(2 * np.pi * 200 * n * t) for n in range(1, 30)]
    wave = np.sum(harmonics, axis=0) + 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def spectrum(wave):
    return np.abs(np.fft.rfft(wave[2000:14000] * np.hanning(12000)))


@pytest.mark.parametrize("vocoder", VOCODERS, ids=repr)
def test_a_copy_sounds_like_the_original_but_is_another_signal(vocoder, vowel):
    copied = vocoder.vocode(vowel, 1)
    assert (copied.shape, copied.dtype) == (vowel.shape, np.float32)
    assert np.isfinite(copied).all()
    peaks = [
        find_peaks(spectrum(wave), prominence=0.1 * spectrum(wave).max(), distance=100)[0] for wave in (vowel, copied)
    ]
    assert np.abs(peaks[1][0] - peaks[0][:, None]).min() * RATE / 12000 < 10  # Hz, between harmonics of both
    assert np.argmax(spectrum(copied)) * RATE / 12000 == pytest.approx(
        1000, abs=210
    )  # the resonance, or the harmonic beside it
    error = np.square(copied - vowel).mean() / np.square(vowel).mean()
    assert error > 1e-3


@pytest.mark.parametrize("vocoder", VOCODERS, ids=repr)
def test_a_copy_depends_on_wave_and_seed_alone(vocoder, vowel):
    torch.manual_seed(4)
    first = vocoder.vocode(vowel, 1)
    vocoder.vocode(vowel[::-1].copy(), 9)
    torch.manual_seed(5)
    np.testing.assert_array_equal(vocoder.vocode(vowel, 1), first)


def test_griffin_lim_draws_its_phase_and_leaves_the_callers_generator_alone(vowel):
    state = torch.get_rng_state()
    assert not np.array_equal(GriffinLim().vocode(vowel, 1), GriffinLim().vocode(vowel, 2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("system", [Espeak(), Piper()], ids=repr)
def test_speech_depends_on_its_arguments_alone(system):
    first = system.speak("The kettle is warm.", "en", 3, 1.5)
    other = system.speak("The kettle is warm.", "en", 4, 1.5)
    again = system.speak("The kettle is warm.", "en", 3, 1.5)
    assert first.dtype == np.float32
    assert np.abs(first).max() > 0.05
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("language", Espeak.languages)
def test_espeak_speaks_its_languages_at_the_wanted_length(language):
    text = (
        "La reunione, la riunione, la reunion; une minute."
        if language != "ru"
        else "Мы долго шли вдоль канала и вернулись домой только к позднему ужину."
    )
    lengths = [len(Espeak().speak(text, language, 2, seconds)) / RATE for seconds in (2.6, 3.4)]
    assert lengths == pytest.approx([2.6, 3.4], rel=0.15)
    assert Espeak().speaker(language, 2).startswith("espeak-" + language)


def test_piper_aims_at_the_wanted_length():
    text = "We walked along the canal until it rained."
    short, long = (len(Piper().speak(text, "en", 1, seconds)) / RATE for seconds in (2.0, 3.2))
    assert short == pytest.approx(2.0, rel=0.2)
    assert long == pytest.approx(3.2, rel=0.2)


@pytest.mark.parametrize("variant", espeak._VARIANTS)
def test_every_espeak_voice_gives_equal_samples_in_every_process(variant):
    text = "Quando siamo arrivati alla stazione, il treno era appena partito."
    first, again = (espeak._speak(text, 160, espeak._Style(f"it+{variant}", 50, 50)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_voices_vary_with_the_seed():
    assert len({Espeak().speaker("it", seed) for seed in range(50)}) > 10
    assert {Piper().speaker("en", seed) for seed in range(50)} == {"piper-en-joe"}


def test_pace_stays_natural():
    assert pace(2.0, 2.5) == pytest.approx(0.8)
    assert pace(1.0, 9.0) == 0.7
    assert pace(9.0, 1.0) == 1.4


def test_espeak_says_what_went_wrong():
    with pytest.raises(RuntimeError, match="espeak-ng failed on '': no sound"):
        Espeak().speak("", "en", 0, 1.0)
