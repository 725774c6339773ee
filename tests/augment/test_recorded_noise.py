"""Recordings come from where they may, and are as loud as drawn."""

import make_demand
import make_musan
import numpy as np
import pytest
import soundfile

from deepfake_lab.augment.recorded_noise import RecordedNoise
from deepfake_lab.augment.recordings import Recordings
from deepfake_lab.data.corpora.demand import Demand
from deepfake_lab.data.corpora.musan import Musan
from deepfake_lab.types import LabError


@pytest.mark.parametrize("snr", [-5, 0, 20])
def test_a_ratio_is_kept_to_half_a_decibel_and_the_voice_as_it_is(voice, noises, snr):
    augmentation = RecordedNoise(noises, snr_db=(snr, snr), p=1)
    wave = voice.numpy()
    for seed in range(5):
        noise = augmentation(wave, np.random.default_rng(seed)) - wave
        ratio = 20 * np.log10(np.sqrt(np.mean(wave**2) / np.mean(noise**2)))
        assert ratio == pytest.approx(snr, abs=0.5)
        assert abs(np.corrcoef(noise, wave)[0, 1]) < 0.1


def test_a_window_is_any_part_of_any_recording_of_one_channel(noises):
    recordings = Recordings(noises, ())
    assert len(recordings) == 3
    draw = np.random.default_rng(0)
    windows = [recordings.window(draw, 8_000) for _ in range(60)]
    assert {window.shape for window in windows} == {(8_000,)}
    short = [window for window in windows if np.array_equal(window[:3_200], window[3_200:6_400])]
    assert 8 < len(short) < 35  # of 20 expected: the file of 0.2 s repeats itself
    levels = np.array([window.std() for window in windows])
    assert ((levels < 0.02) | (levels > 0.05)).all(), "a mean of the channels would lie between"
    assert (levels < 0.02).any()
    assert (levels > 0.05).any()
    assert len({window[0] for window in windows}) > 30


def test_of_a_collection_the_train_split_alone_and_the_wanted_kinds(tmp_path):
    demand = Demand(**make_demand.make(tmp_path), work=tmp_path / "demand", workers=1)
    table = demand.prepare().split("train").table
    allowed = [soundfile.read(demand.root / path, dtype="float32")[0] for path in table["path"].to_pylist()]
    assert 0 < len(allowed) < 10
    recordings = Recordings(demand, ["noise"])
    draw = np.random.default_rng(0)
    first = {recordings.whole(draw)[0] for _ in range(100)}
    assert first == {samples[0] for samples in allowed}
    with pytest.raises(LabError, match="no recording of the kinds rir"):
        Recordings(demand, ["rir"])
    musan = Musan(**make_musan.make(tmp_path), work=tmp_path / "musan", workers=1)
    counts = [len(Recordings(musan, kinds)) for kinds in (["noise"], ["music"], ["noise", "music"])]
    assert counts[0] + counts[1] == counts[2] < len(musan.prepare())


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(LabError, match="holds no audio file"):
        RecordedNoise(tmp_path)


def test_a_recording_that_is_none_is_named(tmp_path, voice):
    soundfile.write(tmp_path / "broken.wav", np.full(100, np.nan), 16_000, subtype="FLOAT")
    with pytest.raises(LabError, match=r"broken\.wav: has no samples from \d+ on, or NaN"):
        RecordedNoise(tmp_path, p=1)(voice.numpy(), np.random.default_rng(0))
