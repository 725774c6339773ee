"""What each condition claims, at the levels under conf/conditions."""

import numpy as np
import pytest
import torch

from deepfake_lab.augment.codecs import recode
from deepfake_lab.augment.level import Gain
from deepfake_lab.config import CONF, build, compose
from deepfake_lab.evaluation.conditions import Bands, Codecs, Pinned
from deepfake_lab.types import LabError

WAVE = (0.1 * np.random.default_rng(0).standard_normal(8_000)).astype(np.float32)
CHOICES = sorted(path.stem for path in (CONF / "conditions").glob("*.yaml") if "source: ???" not in path.read_text())


def applied(condition, level, seed=0):
    return condition.at(level)(WAVE, np.random.default_rng(seed))


def db(ratio):
    return 20 * np.log10(ratio)


def rms(wave):
    return np.sqrt(np.mean(np.square(wave, dtype=float)))


@pytest.mark.parametrize("choice", [name for name in CHOICES if name != "all"])
def test_every_condition_keeps_the_window_and_repeats_itself(choice):
    nodes = compose("robustness", [f"conditions={choice}", "checkpoints=x", "choices={}"]).conditions
    for node in nodes.values():
        condition = build(node)
        assert len(set(condition.levels)) == len(condition.levels) > 1
        for level in (condition.levels[0], condition.levels[-1]):
            before, harm = torch.get_rng_state(), condition.at(level)
            changed, again = (harm(WAVE, np.random.default_rng(0)) for _ in range(2))
            assert (changed.dtype, changed.shape) == (np.float32, WAVE.shape)
            assert np.isfinite(changed).all()
            assert not np.array_equal(changed, WAVE)
            assert np.array_equal(changed, again)
            assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
def test_noise_lies_so_far_below_and_is_the_same_at_every_level(colour):
    condition = build(compose("robustness", ["conditions=noise", "checkpoints=x", "choices={}"]).conditions[colour])
    noise = {level: applied(condition, level) - WAVE for level in condition.levels}
    for level, one in noise.items():
        assert db(rms(WAVE) / rms(one)) == pytest.approx(float(level), abs=0.1)
        np.testing.assert_allclose(one * 10 ** (float(level) / 20), noise["0"], atol=1e-5)
    power = np.abs(np.fft.rfft(noise["0"])) ** 2
    low, high = power[50:150].mean(), power[1600:2400].mean()  # 100 to 300 Hz, 3.2 to 4.8 kHz: four octaves and more
    slope = {"white": 0, "pink": 1, "brown": 2}[colour]
    assert 10 * np.log10(low / high) == pytest.approx(slope * 10 * np.log10(4_000 / 180), abs=3)


def test_bands_and_gains_are_those_of_their_names():
    narrow = np.abs(np.fft.rfft(applied(Bands([(300, 3_400)]), "300-3400"))) / np.abs(np.fft.rfft(WAVE))
    hz = np.fft.rfftfreq(len(WAVE), 1 / 16_000)
    assert narrow[(hz > 320) & (hz < 3_380)].min() > 0.99
    assert narrow[(hz < 250) | (hz > 3_800)].max() < 0.01
    quiet = applied(Pinned(Gain, "gain_db", [-6, -12], "gain, dB"), "-12")
    assert db(rms(quiet) / rms(WAVE)) == pytest.approx(-12, abs=0.01)


def test_codecs_come_at_three_qualities_where_there_are_as_many():
    condition = Codecs(["mp3", "mulaw"])
    assert condition.levels == ("mp3 24", "mp3 64", "mp3 160", "mulaw 64")
    assert np.array_equal(applied(condition, "mp3 64"), recode(WAVE, "mp3", 64))
    assert {level.partition(" ")[0] for level in Codecs().levels} >= {"opus_wb", "amr_nb", "gsm"}


def test_mistakes_are_explained():
    with pytest.raises(LabError, match="codec 'mp4' is not known"):
        Codecs(["mp4"])
    with pytest.raises(LabError, match=r"parameter=gain: .*unexpected keyword"):
        applied(Pinned(Gain, "gain", [0], "gain, dB"), "0")
