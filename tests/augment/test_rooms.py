"""Rooms add what comes after the direct sound, and nothing else."""

import make_rirs
import numpy as np
import pytest

from deepfake_lab.augment.rooms import RecordedRooms, SimulatedRooms, reverberant, simulated
from deepfake_lab.data.corpora.rirs import Rirs


def reverberation_s(response):
    """T60 by Schroeder's backward integration, out of the decay from -5 to -25 dB."""
    energy = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    decay = 10 * np.log10(energy / energy[0])
    begin, end = np.argmax(decay < -5), np.argmax(decay < -25)
    return 3 * (end - begin) / 16_000


def test_the_direct_sound_stays_where_it_was_and_the_level_too(voice):
    response = np.zeros(3_000, np.float32)
    response[[400, 1_000, 2_000]] = 0.8, -0.4, 0.2
    wave = voice.numpy()
    after = reverberant(wave, response)
    expected = wave.copy()
    expected[600:] -= 0.5 * wave[:-600]
    expected[1_600:] += 0.25 * wave[:-1_600]
    expected *= np.sqrt(np.mean(wave**2) / np.mean(expected**2))
    np.testing.assert_allclose(after, expected, atol=1e-5)


@pytest.mark.parametrize("samples", [100, 8_000])
def test_windows_shorter_and_longer_than_the_response(voice, samples):
    response = np.random.default_rng(0).standard_normal(2_000).astype(np.float32)
    assert reverberant(voice.numpy()[:samples], response).shape == (samples,)


def test_a_silent_response_does_not_silence_speech(voice):
    np.testing.assert_array_equal(reverberant(voice.numpy(), np.zeros(500, np.float32)), voice.numpy())


@pytest.mark.parametrize("t60_s", [0.15, 0.3, 0.6])
def test_simulated_rooms_reverberate_as_long_as_drawn(t60_s):
    draw = np.random.default_rng(1)
    measured = [reverberation_s(simulated(draw, (t60_s, t60_s))) for _ in range(6)]
    assert np.median(measured) == pytest.approx(t60_s, rel=0.2)


def test_a_pool_is_made_of_its_seed():
    settings = {"rooms": 4, "t60_s": (0.1, 0.2)}
    one, same, other = (SimulatedRooms(**settings, seed=seed).pool for seed in (1, 1, 2))
    assert len(one) == 4
    assert len({response.tobytes() for response in one}) == 4
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


def test_recorded_rooms_are_those_of_the_train_split(tmp_path):
    rirs = Rirs(**make_rirs.make(tmp_path), work=tmp_path / "rirs", workers=1)
    table = rirs.prepare().split("train").table.to_pandas()
    draw, rooms = np.random.default_rng(0), RecordedRooms(rirs)
    assert len(rooms.recordings) == (table["kind"] == "rir").sum() > 0
    assert len({rooms.response(draw).tobytes() for _ in range(200)}) == len(rooms.recordings)
