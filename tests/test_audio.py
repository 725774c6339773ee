"""Reading audio: real files of every kind, good and bad."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepfake_lab import audio
from deepfake_lab.audio import AudioError, AudioInfo
from deepfake_lab.types import LabError

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)
LIBSNDFILE = ("wav", "flac", "mp3", "ogg")
PYAV = {"m4a": "aac", "mp4": "aac", "g722": "g722"}


def tone(rate, seconds=1.0, frequency=440.0):
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write_with_av(path, channels, rate, *, video=False):
    """Encodes `channels` (C, T) by the codec that belongs to the file's ending."""
    with av.open(str(path), "w") as container:
        packets = []
        if video:
            picture = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            packets += [*picture.encode(frame), *picture.encode()]
        if channels is not None:
            layout = {1: "mono", 2: "stereo"}[len(channels)]
            stream = container.add_stream(PYAV[path.suffix[1:]], rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            converter = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size)
            parts = [*converter.resample(frame), *converter.resample(None), None]
            packets += [packet for part in parts for packet in stream.encode(part)]
        container.mux(packets)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Half a second of a 440 Hz tone as `RATE.ENDING`."""
    folder = tmp_path_factory.mktemp("audio")
    for rate in RATES:
        for suffix in LIBSNDFILE:
            soundfile.write(folder / f"{rate}.{suffix}", tone(rate, 0.5), rate)
        for suffix in PYAV:
            if suffix != "g722" or rate == 16_000:
                write_with_av(folder / f"{rate}.{suffix}", tone(rate, 0.5)[None], rate)
    return folder


ALL_FILES = [f"{rate}.{suffix}" for rate in RATES for suffix in (*LIBSNDFILE, "m4a", "mp4")] + ["16000.g722"]


class TestFormats:
    @pytest.mark.parametrize("name", ALL_FILES)
    def test_become_mono_float32_at_16_khz_with_the_tone_where_it_was(self, files, name):
        wave = audio.load(files / name)
        assert (wave.dtype, wave.ndim) == (np.float32, 1)
        # an encoder may add its frames' padding at the end, of at most 2 x 1024 samples
        assert 8_000 <= len(wave) <= 8_000 + 2 * 1024 * 16_000 / int(name.split(".")[0]) + 1
        middle = wave[2_000:6_000]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(4_000)))
        assert np.argmax(spectrum) == 440 * 4_000 // 16_000
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)

    @pytest.mark.parametrize("name", ALL_FILES)
    def test_info_agrees_with_load(self, files, name):
        found = audio.info(files / name)
        assert (found.sample_rate, found.channels) == (int(name.split(".")[0]), 1)
        assert len(audio.load(files / name)) == pytest.approx(found.frames * 16_000 / found.sample_rate, abs=1)

    @pytest.mark.parametrize("name", ["16000.wav", "16000.flac", "16000.mp3", "16000.ogg", "16000.m4a", "16000.g722"])
    @pytest.mark.parametrize(("start", "frames"), [(0, 100), (1_234, 2_000), (5_000, None), (7_900, 100_000)])
    def test_a_part_equals_the_slice_of_the_whole(self, files, name, start, frames):
        whole, part = audio.load(files / name), audio.load(files / name, start, frames)
        np.testing.assert_allclose(part, whole[start:][:frames], atol=1e-6)

    def test_flac_written_to_a_pipe_does_not_know_its_length(self, tmp_path):
        path = tmp_path / "a.flac"
        soundfile.write(path, tone(16_000), 16_000)
        expected = audio.load(path)
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0  # the 36 bits of the number of samples
        content[22:26] = bytes(4)
        path.write_bytes(content)
        assert audio.info(path) == AudioInfo(16_000, 16_000, 1)
        np.testing.assert_array_equal(audio.load(path), expected)
        np.testing.assert_array_equal(audio.load(path, 9_000, 500), expected[9_000:9_500])
        assert audio.declared_frames(path) is None

    def test_a_part_of_an_mp3_whose_frames_borrow_bits_from_earlier_ones(self, tmp_path):
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, 66_150)
        soundfile.write(tmp_path / "a.mp3", noise, 22_050)
        whole, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
        for start in range(0, 60_000, 2_940):
            part, _ = audio.read(tmp_path / "a.mp3", start, 1_000)
            np.testing.assert_allclose(part[:, 0], whole[start : start + 1_000], atol=1e-6)

    def test_a_part_at_another_rate_is_counted_in_the_files_own_samples(self, files):
        part = audio.load(files / "48000.wav", 12_000, 9_000)
        assert len(part) == 3_000
        np.testing.assert_allclose(part[200:-200], audio.load(files / "48000.wav")[4_200:6_800], atol=1e-3)

    @pytest.mark.parametrize(
        ("subtype", "step"), [("PCM_U8", 2**-7), ("PCM_24", 2**-23), ("ULAW", 0.02), ("DOUBLE", 1e-7)]
    )
    def test_sample_formats(self, tmp_path, subtype, step):
        soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000, subtype=subtype)
        np.testing.assert_allclose(audio.load(tmp_path / "a.wav"), tone(16_000), atol=step)

    @pytest.mark.parametrize("suffix", ["wav", "m4a"])
    def test_channels_are_averaged(self, tmp_path, suffix):
        left, right = tone(16_000), tone(16_000, frequency=1_000)
        path = tmp_path / f"stereo.{suffix}"
        if suffix == "wav":
            soundfile.write(path, np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
        else:
            write_with_av(path, np.stack([left, right]), 16_000)
        assert audio.info(path).channels == 2
        np.testing.assert_allclose(audio.load(path)[2_000:14_000], (left + right)[2_000:14_000] / 2, atol=0.02)

    def test_a_video_gives_its_sound(self, tmp_path):
        path = write_with_av(tmp_path / "film.mp4", tone(16_000)[None], 16_000, video=True)
        np.testing.assert_allclose(audio.load(path)[2_000:14_000], tone(16_000)[2_000:14_000], atol=0.02)

    def test_a_tenth_of_a_second_is_enough(self, tmp_path):
        soundfile.write(tmp_path / "short.wav", tone(16_000, 0.1), 16_000)
        assert len(audio.load(tmp_path / "short.wav")) == 1_600

    @pytest.mark.parametrize("suffix", ["wav", "m4a"])
    @pytest.mark.parametrize(
        "name", ["a [b]", "für mich", "50% #1 'x'", "録音", "$HOME ${x}", os.fsdecode(b"M\xfcller")]
    )
    def test_any_file_name(self, tmp_path, name, suffix):
        plain = tmp_path / f"plain.{suffix}"
        if suffix == "wav":
            soundfile.write(plain, tone(16_000), 16_000)
        else:
            write_with_av(plain, tone(16_000)[None], 16_000)
        path = plain.rename(tmp_path / f"{name}.{suffix}")
        assert len(audio.load(path)) == pytest.approx(16_000, abs=2_048)
        assert audio.info(path).sample_rate == 16_000


class TestRefusals:
    def make(self, folder, kind):
        """A file that cannot be used."""
        path = folder / f"{kind}.wav"
        good = folder / "good.flac"
        soundfile.write(good, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
        if kind == "empty":
            path.touch()
        elif kind == "no samples":
            soundfile.write(path, np.zeros(0), 16_000)
        elif kind == "text":
            path.write_text("This is not audio.\n" * 100)
        elif kind == "folder":
            path.mkdir()
        elif kind == "half":
            path = folder / "half.flac"
            path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        elif kind == "mute":
            path = write_with_av(folder / "mute.mp4", None, 0, video=True)
        return path

    @pytest.mark.parametrize(
        ("kind", "complaint"),
        [
            ("empty", "cannot be decoded (0 bytes"),
            ("no samples", "holds no audio"),
            ("text", "cannot be decoded (1900 bytes"),
            ("folder", "no such file"),
            ("missing", "no such file. Check data.root"),
            ("half", "cannot be decoded"),
            ("mute", "has no audio stream"),
        ],
    )
    def test_name_the_file_and_the_reason(self, tmp_path, kind, complaint):
        path = self.make(tmp_path, kind)
        with pytest.raises(AudioError) as caught:
            audio.load(path)
        assert str(path) in str(caught.value)
        assert complaint in str(caught.value)
        assert isinstance(caught.value, LabError)
        if kind != "half":  # whose header is whole
            with pytest.raises(AudioError, match=path.name):
                audio.info(path)

    @pytest.mark.parametrize("name", ["16000.wav", "16000.mp3", "16000.m4a"])
    def test_a_start_beyond_the_end(self, files, name):
        with pytest.raises(AudioError, match="holds no audio from sample 99000 on"):
            audio.load(files / name, 99_000, 10)

    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
    def test_samples_that_are_no_sound_are_named_by_their_place_in_the_file(self, tmp_path, channels, value):
        samples = np.zeros((8_000, channels), np.float32)
        samples[3_000] = samples[5_000] = value
        samples[3_000, 0] = value if channels == 1 else -value
        soundfile.write(tmp_path / "bad.wav", samples, 8_000, subtype="FLOAT")
        for start in (0, 2_500):
            with pytest.raises(AudioError, match=rf"bad.wav: sample 3000 is {samples[3_000, 0]:g}".replace("+", r"\+")):
                audio.load(tmp_path / "bad.wav", start)
        assert len(audio.load(tmp_path / "bad.wav", 3_001, 1_000)) == 2_000  # only what is asked for is judged

    def test_loud_float_files_are_read(self, tmp_path):
        soundfile.write(tmp_path / "loud.wav", 32_768 * tone(16_000), 16_000, subtype="FLOAT")
        np.testing.assert_allclose(audio.load(tmp_path / "loud.wav"), 32_768 * tone(16_000))


class TestResample:
    @pytest.mark.parametrize("rate", RATES)
    def test_length_and_spectrum(self, rate):
        wave = audio.resample(tone(rate, 1.0, 1_000) + tone(rate, 1.0, 3_000), rate)
        assert len(wave) == 16_000
        expected = tone(16_000, 1.0, 1_000) + tone(16_000, 1.0, 3_000)
        np.testing.assert_allclose(wave[1_000:-1_000], expected[1_000:-1_000], atol=2e-3)

    def test_nothing_folds_back_from_above_8_khz(self):
        wave = audio.resample(tone(48_000, 1.0, 10_000), 48_000)
        assert np.abs(wave[500:-500]).max() < 1e-3

    def test_the_same_rate_changes_nothing(self):
        wave = tone(16_000)
        assert audio.resample(wave, 16_000) is wave

    @given(rate=st.integers(4_000, 96_000), window_ms=st.integers(50, 500))
    def test_a_window_is_never_a_sample_short(self, rate, window_ms):
        asked = -(-window_ms * rate // 1_000)
        assert len(audio.resample(np.zeros(asked, np.float32), rate)) >= window_ms * 16


WAVES = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1, 1, width=32))


@given(WAVES, st.integers(1, 150))
def test_fit_length_repeats_or_cuts(wave, length):
    fitted = audio.fit_length(wave, length)
    assert fitted.shape == (length,)
    np.testing.assert_array_equal(fitted, wave[np.arange(length) % len(wave)])


@given(st.integers(1, 200), st.integers(1, 70))
def test_windows_hear_every_sample_and_nothing_else(samples, length):
    wave = np.arange(samples, dtype=np.float32)
    cut = audio.windows(wave, length)
    assert cut.shape == (max(1, -(-samples // length)), length)
    assert set(cut.ravel()) == set(wave)
    for window in cut:
        np.testing.assert_array_equal(window, (window[0] + np.arange(length)) % samples)
    np.testing.assert_array_equal(cut[0], audio.fit_length(wave, length))


def test_info_reads_a_header_only(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((800, 3)), 11_025)
    assert audio.info(tmp_path / "a.wav") == AudioInfo(frames=800, sample_rate=11_025, channels=3)
