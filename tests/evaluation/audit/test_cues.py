"""Cues, against what was put into the signals."""

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfiltfilt

from deepfake_lab.evaluation.audit import cues
from deepfake_lab.evaluation.audit.cues import CUE_GROUPS, Cues, Extract, cues_of, measure

RATE = 16_000
RNG = np.random.default_rng(3)
NUMBERS = [name for name in Cues._fields if name != "container"]


@pytest.fixture
def cues_in(tmp_path):
    """Cues of a signal, written as WAV."""

    def listen(wave, rate=RATE, subtype="PCM_16", treat=None):
        path = tmp_path / "wave.wav"
        soundfile.write(path, wave, rate, subtype=subtype)
        channels = 1 if np.ndim(wave) == 1 else wave.shape[1]
        return cues_of(Extract(str(path), 0, len(wave), rate, channels), treat)

    return listen


def tone(hertz, samples=8000, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)


def test_every_cue_belongs_to_one_group():
    grouped = [column for columns in CUE_GROUPS.values() for column in columns]
    assert sorted(grouped) == sorted(Cues._fields)


def test_time_and_level_of_a_tone_between_edges(cues_in):
    found = cues_in(np.concatenate([np.zeros(1600), tone(1000), np.zeros(800)]) + 0.0)
    assert found.leading_silence_s == pytest.approx(0.1)
    assert found.trailing_silence_s == pytest.approx(0.05)
    assert found.duration_s == pytest.approx(10400 / RATE)
    assert (found.samples_mod_256, found.samples_mod_300) == (10400 % 256, 10400 % 300)
    assert found.peak_db == pytest.approx(-6.02, abs=0.01)
    assert found.level_db == pytest.approx(10 * np.log10(0.125 * 8000 / 10400), abs=0.01)
    assert found.crest_db == pytest.approx(found.peak_db - found.level_db)
    assert found.zero_run_s == pytest.approx(0.1, abs=0.0002)
    assert found.zero_share == pytest.approx(
        (2400 + 1000) / 10400, abs=0.001
    )  # a tone of 16 samples crosses zero twice
    assert found.noise_floor_db == -120
    assert (found.container, found.sample_rate, found.channels) == ("WAV PCM_16", RATE, 1)


def test_offset_is_the_mean(cues_in):
    assert cues_in(tone(1000) + 0.01).dc_offset == pytest.approx(0.01, abs=5e-5)
    assert abs(cues_in(tone(1000)).dc_offset) < 5e-5


@pytest.mark.parametrize("edge", [1000, 3400, 5000])
def test_bandwidth_is_where_a_low_pass_cuts(cues_in, edge):
    noise = 0.1 * RNG.standard_normal(16_000)
    limited = sosfiltfilt(butter(10, edge, fs=RATE, output="sos"), noise)
    assert cues_in(limited, subtype="FLOAT").bandwidth_hz == pytest.approx(1.3 * edge, rel=0.25)
    assert cues_in(noise).bandwidth_hz > 7900


def test_energy_below_80_hz_is_not_that_of_a_low_voice(cues_in):
    assert cues_in(tone(50)).below_80_hz_db > -0.1
    assert cues_in(tone(100)).below_80_hz_db < -35
    assert cues_in(tone(50) + tone(500)).below_80_hz_db == pytest.approx(-3, abs=0.1)


def test_noise_floor_is_the_level_of_quiet_parts(cues_in):
    quiet = 0.001 * RNG.standard_normal(3200)
    assert cues_in(np.concatenate([tone(500), quiet]), subtype="FLOAT").noise_floor_db == pytest.approx(-60, abs=1.5)


@pytest.mark.parametrize(
    ("bits", "subtype"), [(8, "PCM_16"), (12, "PCM_16"), (16, "PCM_16"), (16, "PCM_24"), (24, "PCM_24")]
)
def test_bit_depth_counts_the_bits_in_use(cues_in, bits, subtype):
    steps = RNG.integers(-(2 ** (bits - 2)), 2 ** (bits - 2), 4000)
    assert cues_in(steps / 2 ** (bits - 1), subtype=subtype).bit_depth == bits


def test_zeros_and_bits_are_those_of_the_file_whatever_its_rate(cues_in):
    stereo = RNG.integers(1, 100, (22_050, 2)) / 2**7
    stereo[1000:3205] = 0
    stereo[5000:6000, 0] = 0  # the other channel sounds
    found = cues_in(stereo / 2, rate=22_050)
    assert found.zero_run_s == pytest.approx(2205 / 22_050)
    assert found.zero_share == pytest.approx(0.1)
    assert (found.bit_depth, found.sample_rate, found.channels) == (9, 22_050, 2)


@pytest.mark.parametrize("wave", [np.zeros(8000), np.zeros(1), [0.5], np.full(50, 0.25), [1.0, -1.0], tone(100, 300)])
def test_the_oddest_audio_gives_numbers(cues_in, wave):
    assert np.isfinite([getattr(cues_in(np.asarray(wave)), name) for name in NUMBERS]).all()


def test_digital_silence_has_no_bits_and_no_band(cues_in):
    found = cues_in(np.zeros(8000))
    assert (found.bit_depth, found.bandwidth_hz, found.zero_share, found.level_db) == (0, 0, 1, -120)


def test_a_treatment_comes_before_the_measure(cues_in):
    found = cues_in(tone(1000), treat=lambda wave: wave / 2)
    assert found.peak_db == pytest.approx(-12.04, abs=0.01)
    assert found.zero_share == cues_in(tone(1000)).zero_share


def test_a_file_for_pyav_alone_is_measured(tmp_path):
    path = tmp_path / "track.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(500, 16_384).astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    found = cues_of(Extract(str(path), 0, 16_384, RATE, 1))
    assert found.container == "mp4"
    assert found.peak_db == pytest.approx(-6, abs=1)


def test_samples_each_class_of_each_split_alike_every_time(make_corpus):
    manifest = make_corpus(count=8)
    found = measure(manifest, limit=5)
    assert found.groupby(["split", "label"]).size().tolist() == [5] * 6
    assert found["key"].tolist() == measure(manifest, limit=5)["key"].tolist()
    assert found["key"].tolist() != measure(manifest, limit=5, seed=1)["key"].tolist()
    assert len(measure(manifest)) == len(manifest)


def test_trimming_leaves_out_the_quiet_edges(make_corpus):
    manifest = make_corpus(count=3)
    assert (measure(manifest)["leading_silence_s"] > 0).all()
    trimmed = measure(manifest, trim=True)
    assert (trimmed[["leading_silence_s", "trailing_silence_s"]] == 0).all(axis=None)
    seconds = manifest.table["speech_frames"].to_numpy() / RATE
    assert trimmed["duration_s"].tolist() == pytest.approx(seconds)


def test_processes_find_what_one_finds(make_corpus, monkeypatch):
    manifest = make_corpus(count=4)
    alone = measure(manifest, treat=np.negative)
    monkeypatch.setattr(cues, "PARALLEL_FROM", 10)
    assert measure(manifest, workers=2, treat=np.negative).equals(alone)


def test_what_cannot_be_read_is_left_out_alone(make_corpus):
    manifest = make_corpus(count=2)
    broken = manifest.table["path"].to_pylist()[3]
    (manifest.root / broken).write_bytes(b"RIFF")
    found = measure(manifest)
    kept = [row for row in manifest.table.to_pylist() if row["path"] != broken]
    assert found["key"].tolist() == [row["key"] for row in kept]
    assert found["samples_mod_256"].tolist() == [row["frames"] % 256 for row in kept]
