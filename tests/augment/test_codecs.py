"""Codecs, applied for real: every one that this machine has."""

import io
import pickle
import sys

import numpy as np
import pytest
import soundfile

from deepfake_lab.audio import resample
from deepfake_lab.augment import codecs
from deepfake_lab.augment.codecs import RandomCodec, available, find, recode
from deepfake_lab.types import LabError

RATE = 16_000
NAMES = available()


@pytest.fixture(scope="module")
def speech():
    """A second of harmonics that glide under three formants, syllable by syllable: (T,), T no multiple of a frame."""
    t = np.arange(RATE + 77) / RATE
    pitch = 130 + 40 * np.sin(2 * np.pi * 0.7 * t) + 15 * np.sin(2 * np.pi * 2.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = np.add((700, 1500, 2600), np.outer(np.sin(2 * np.pi * 1.7 * t), (200, 400, 0)))
    gains = [np.exp(-(((n * pitch)[:, None] - formants) ** 2) / 200**2) @ (1, 0.5, 0.25) for n in range(1, 26)]
    voice = sum(gain * np.sin((n + 1) * phase) for n, gain in enumerate(gains))
    wave = voice * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t))
    wave += 0.003 * np.random.default_rng(0).standard_normal(len(t))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def level(wave):
    return 10 * np.log10(np.square(wave).mean())


def lag(sent, received):
    """Samples by which `received` is late, where the cross-correlation peaks."""
    size = 2 * len(sent)
    correlation = np.fft.irfft(np.fft.rfft(received, size) * np.fft.rfft(sent, size).conj())
    return (np.argmax(correlation) + len(sent)) % size - len(sent)


def extremes(name):
    qualities = find(name).qualities
    return sorted({qualities[0], qualities[-1]})


@pytest.mark.parametrize("name", NAMES)
def test_a_codec_keeps_length_level_and_alignment_and_loses_detail(name, speech):
    sent = speech.copy()
    for quality in extremes(name):
        received = recode(sent, name, quality)
        assert (received.shape, received.dtype) == (speech.shape, np.float32)
        assert abs(lag(speech, received)) <= 8  # 0.5 ms
        loss = level(speech) - level(received)
        assert -1 < loss < (1 if quality == find(name).qualities[-1] else 5)  # few bits leave speech thinner
        assert level(received - speech) > level(speech) - 60
        np.testing.assert_array_equal(recode(sent, name, quality), received)
    np.testing.assert_array_equal(sent, speech)


@pytest.mark.parametrize("name", NAMES)
def test_a_codec_takes_whatever_arrives(name, speech):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for quality in extremes(name):
        for wave in (noise, noise[:1], noise[:1600], noise[:0]):
            received = recode(wave, name, quality)
            assert received.shape == wave.shape
            assert np.isfinite(received).all()
        assert np.abs(recode(np.zeros(1600, np.float32), name, quality)).max() < 1e-3
    heard = recode(4 * speech, name, find(name).qualities[-1])
    assert np.corrcoef(np.clip(4 * speech, -1, 1), heard)[0, 1] > 0.75  # clipped, not wrapped round


@pytest.mark.parametrize("name", sorted({"opus_nb", "amr_nb", "speex_nb", "mulaw", "alaw", "gsm"} & set(NAMES)))
def test_a_narrow_band_codec_leaves_nothing_above_4_khz(name):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, RATE).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(recode(noise, name, find(name).qualities[-1]))))
    assert power[4200:].sum() < 1e-4 * power[:4000].sum()


@pytest.mark.parametrize("name", [name for name in NAMES if len(find(name).qualities) > 1])
def test_more_bits_keep_more(name, speech):
    worst, best = (level(recode(speech, name, quality) - speech) for quality in extremes(name))
    assert best < worst - 1


@pytest.mark.parametrize(("name", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_agrees_with_libsndfile(name, subtype, speech):
    file = io.BytesIO()
    soundfile.write(file, resample(speech, RATE, 8000), 8000, subtype, format="WAV")
    file.seek(0)
    expected = resample(soundfile.read(file, dtype="float32")[0], 8000)[: len(speech)]
    error = np.abs(recode(speech, name, 64) - expected)
    assert np.median(error) < 1.7e-4  # rounding, now and then to the next step; another law, or none, gives over 2.1e-4


def test_codec_and_quality_are_drawn_and_the_draw_decides(speech):
    wave, augment = speech[:1600], RandomCodec(p=1, codecs=["mulaw", "alaw", "mp3"])
    heard = {name: {recode(wave, name, q).tobytes() for q in find(name).qualities} for name in ("mulaw", "alaw", "mp3")}
    drawn = [augment(wave, np.random.default_rng(seed)).tobytes() for seed in range(60)]
    assert all(set(drawn) & sounds for sounds in heard.values())
    assert len(set(drawn) & heard["mp3"]) > 4
    assert set(drawn) <= set.union(*heard.values())
    again = pickle.loads(pickle.dumps(augment))
    assert [again(wave, np.random.default_rng(seed)).tobytes() for seed in range(9)] == drawn[:9]


def test_null_takes_all_that_is_available_without_starting_a_program():
    programs = {"amr_wb", "speex_wb", "speex_nb"}
    assert [codec.name for codec in RandomCodec().codecs] == [name for name in NAMES if name not in programs]
    named = sorted(programs & set(NAMES))
    assert not named or [codec.name for codec in RandomCodec(codecs=named).codecs] == named
    assert {"opus_wb", "opus_nb", "mp3", "aac", "g722", "mulaw", "alaw", "vorbis", "gsm"} <= set(NAMES)


def test_what_cannot_be_coded_is_refused(speech, monkeypatch, tmp_path):
    for broken, message in [
        ({"codecs": ["mp3", "mp4"]}, r"codec 'mp4' is not known\. Choose from opus_wb, .*gsm"),
        ({"codecs": ["encodec"]}, "codec 'encodec' is a neural network"),
        ({"codecs": []}, r"codecs=\[\]"),
        ({"p": 1.5}, r"p=1\.5"),
    ]:
        with pytest.raises(LabError, match=message):
            RandomCodec(**broken)
    with pytest.raises(LabError, match=r"codec amr_nb: no quality 5\. Choose from 4\.75, 5\.15"):
        recode(speech, "amr_nb", 5)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    codecs._ffmpeg_with.cache_clear()
    with pytest.raises(LabError, match="codec 'speex_wb' needs an ffmpeg with libspeex"):
        RandomCodec(codecs=["speex_wb"])
    codecs._ffmpeg_with.cache_clear()
