"""Recordings in blocks hold the samples that they hold whole."""

import av
import numpy as np
import pytest
import soundfile

from deepfake_lab import audio
from deepfake_lab.audio import AudioError
from deepfake_lab.serving import decoding
from deepfake_lab.serving.decoding import Recording

SOUND = np.random.default_rng(0).uniform(-0.3, 0.3, (23_456, 2))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", 5_000)


def write(path, rate):
    """The sound in the format of the name's ending."""
    if path.suffix == ".m4a":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=rate)
            frame = av.AudioFrame.from_ndarray(SOUND.T.astype(np.float32).copy(), "fltp", "stereo")
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    else:
        soundfile.write(path, SOUND, rate)


def whole(waves):
    return np.concatenate(list(waves))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_blocks_are_the_whole(tmp_path, ending, rate):
    path = tmp_path / f"a.{ending}"
    write(path, rate)
    for recording in (Recording(path, str(path)), Recording(path.read_bytes(), path.name)):
        np.testing.assert_allclose(whole(recording.waves()), audio.load(path), atol=1e-6)
        np.testing.assert_allclose(whole(recording.waves(1_000, 9_000)), audio.load(path, 1_000, 9_000), atol=1e-6)
    stated = Recording(path, str(path)).stated_s()
    assert stated is None if ending == "m4a" else stated == pytest.approx(len(SOUND) / rate, rel=0.05)


def test_what_decodes_to_too_much_is_given_up_early(tmp_path):
    soundfile.write(tmp_path / "bomb.flac", np.zeros(16_000 * 600, np.int16), 16_000)
    content = (tmp_path / "bomb.flac").read_bytes()
    assert len(content) < 100_000
    blocks = Recording(content, "bomb", most_s=2).blocks()
    assert sum(len(next(blocks).wave) for _ in range(6)) == 30_000
    with pytest.raises(AudioError, match=r"bomb: longer than 2 s\. Send a part of it"):
        next(blocks)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be decoded"),
        (b"Dear Sir or Madam, " * 99, "cannot be decoded"),
        (np.array([0.1, np.nan]), r"sample 1 is nan\. Export"),
        (np.array([0.1, np.inf]), r"sample 1 is inf\. Export"),
        (np.array([]), r"holds no audio \(0 samples\)"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path, content, complaint):
    if isinstance(content, np.ndarray):
        soundfile.write(tmp_path / "a.wav", content, 16_000, subtype="FLOAT")
        content = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(AudioError, match=f"^letter: {complaint}"):
        list(Recording(content, "letter").blocks())


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AudioError, match=r"a\.wav: no such file"):
        list(Recording(tmp_path / "a.wav", "a.wav").blocks())


def test_a_playlist_of_unknown_origin_opens_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("secret.wav", SOUND, 16_000)
    for content in (b"ffconcat version 1.0\nfile secret.wav\n", b"#EXTM3U\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"):
        with pytest.raises(AudioError, match="cannot be decoded"):
            list(Recording(content, "list.wav").blocks())


@pytest.mark.parametrize("rate", [1, 999, 1_000_001])
def test_an_absurd_rate_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", SOUND, rate)
    with pytest.raises(AudioError, match=rf"a rate of {rate} Hz\. Export"):
        list(Recording(tmp_path / "a.wav", "a.wav").waves())


def test_nothing_is_heard_twice_of_a_file_that_is_damaged_in_the_middle(tmp_path):
    soundfile.write(tmp_path / "a.flac", SOUND, 16_000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    heard = whole(block.wave for block in Recording(bytes(content), "a.flac").blocks())
    assert 0.6 * len(SOUND) < len(heard) <= len(SOUND)
    np.testing.assert_allclose(heard[:5_000], SOUND.mean(axis=1)[:5_000], atol=1e-4)


@pytest.mark.parametrize("ending", ["flac", "m4a"])
def test_decoding_can_be_given_up(tmp_path, ending):
    class GivenUpError(Exception):
        pass

    calls = iter(range(2))

    def check():
        if next(calls, None) is None:
            raise GivenUpError

    write(tmp_path / f"a.{ending}", 16_000)
    with pytest.raises(GivenUpError):
        list(Recording((tmp_path / f"a.{ending}").read_bytes(), "a", check=check).blocks())
