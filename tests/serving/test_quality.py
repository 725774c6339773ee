"""What recordings are like, and whether they can be judged."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from deepfake_lab.serving.census import Census
from deepfake_lab.serving.quality import Quality, QualityMeter, doubt
from deepfake_lab.serving.speech import VoiceActivity
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.types import LabError

GOOD = Quality(duration_s=4.0, level_db=-25.0, band_hz=7800.0, clipped=0.0, speech_s=3.0)


@pytest.fixture(scope="module")
def spoken():
    return Espeak().speak("We walked along the canal until it rained.", "en", 3, 2.5)


def quality(*chunks):
    meter = QualityMeter()
    for chunk in chunks:
        meter.add(np.asarray(chunk, np.float32))
    return meter.quality()


@given(cuts=st.lists(st.integers(0, 40_000), max_size=5))
def test_does_not_depend_on_chunks(spoken, cuts):
    whole, parts = quality(spoken), quality(*np.split(spoken, sorted(cuts)))
    assert parts.level_db == pytest.approx(whole.level_db)
    assert (parts.duration_s, parts.band_hz, parts.clipped, parts.speech_s) == (
        whole.duration_s,
        whole.band_hz,
        whole.clipped,
        whole.speech_s,
    )


def test_probabilities_of_speech_are_those_of_its_package(spoken):
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # which its import sets to one
    official = load_silero_vad(onnx=True)
    steps = torch.from_numpy(spoken[: len(spoken) // 512 * 512]).view(-1, 512)
    expected = [float(official(step, 16_000)) for step in steps]
    np.testing.assert_allclose(VoiceActivity()(spoken), expected, atol=1e-6)
    assert np.mean(expected) > 0.5


def test_measures_level_band_clipping_and_speech(spoken):
    noise = np.random.default_rng(0).normal(0, 0.1, 64_000)
    found = quality(noise)
    assert found.level_db == pytest.approx(-20, abs=0.1)
    assert found.duration_s == 4
    assert (found.band_hz, found.speech_s) == (8000, 0)
    narrow = sosfilt(butter(20, 3000, fs=16_000, output="sos"), noise)
    assert quality(narrow).band_hz == pytest.approx(3900, abs=500)
    assert quality(0.9 * spoken / np.abs(spoken).max()).clipped < 0.002
    assert quality(np.clip(5 * spoken, -0.8, 0.8)).clipped > 0.02
    assert quality(np.zeros(16_000)) == Quality(1.0, -120.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"duration_s": 0.9}, "shorter than 1 s"),
        ({"level_db": -70.0}, "silent (-70 dB of full scale)"),
        ({"speech_s": 0.1}, "no speech (0.1 s found)"),
        ({"clipped": 0.03}, "clipped (3.0% of the samples at the limit)"),
        ({"band_hz": 3400.0}, "band ends at 3.4 kHz, of what it was trained on above 7.5"),
        ({"level_db": -41.0}, "level of -41 dB of full scale, of what it was trained on -30 to -20"),
        ({"level_db": -38.0}, ""),
    ],
)
def test_says_why_not(change, reason):
    census = Census()
    for level in (-28.0, -22.0):
        census.add({"band_hz": 7600.0, "level_db": level})
    changed = Quality(**(GOOD.__dict__ | change))
    assert doubt(changed, census, any_level=False) == reason
    assert doubt(changed, census, any_level=True) == ("" if reason.startswith("level") else reason)
    if "trained" in reason:
        assert doubt(changed, Census(), any_level=False) == "", "who knows nothing of training has no doubt about it"


def test_bounds_leave_the_rarest_out():
    census = Census()
    for level in [-22.0] * 990 + [-61.0] * 5 + [-12.0] * 5:
        census.add({"level_db": level})
    assert census.bounds("level_db") == (-25.0, -20.0)
    assert census.bounds("band_hz") == (-math.inf, math.inf)


def test_shift_is_the_population_stability_index():
    before, after = Census(), Census()
    for census, short, long in ((before, 30, 70), (after, 60, 40)):
        for seconds, count in ((1.5, short), (50.0, long)):
            for _ in range(count):
                census.add({"duration_s": seconds})
    p, q = (np.r_[np.full(9, 0.5), short + 0.5, long + 0.5] for short, long in ((30, 70), (60, 40)))
    p, q = p / p.sum(), q / q.sum()
    assert before.shift(after)["duration_s"] == pytest.approx(np.sum((q - p) * np.log(q / p)))
    assert before.shift(after)["score"] == before.shift(before)["duration_s"] == 0


def test_a_census_of_something_else_is_refused():
    assert Census(Census().plain()).plain() == Census().plain()
    for other in ({"score": [1, 2]}, Census().plain() | {"score": [1]}):
        with pytest.raises(LabError, match="another version"):
            Census(other)
