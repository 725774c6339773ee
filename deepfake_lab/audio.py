"""Audio files to waveforms: probe, partial read, resample, crop, repeat-pad. Pure functions on float32 arrays `(T,)`.

libsndfile reads first; PyAV (FFmpeg) reads what libsndfile does not: G.722, AAC, MP4, and FLAC files it rejects.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from deepfake_lab.types import SAMPLE_RATE, LabError

Wave = npt.NDArray[np.float32]
Padding = Literal["repeat", "reflect", "zeros"]
"""How short audio fills a window."""

AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".aac",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
        ".rf64",
        ".wma",
        ".amr",
        ".awb",
        ".g722",
        ".gsm",
        ".spx",
        ".ac3",
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".3gp",
    ]
)
"""File name endings taken for audio (or video with sound) when a folder is searched."""
MAX_AMPLITUDE = 1e10
"""Louder samples (full scale is 1; 32-bit integers kept as floats reach 2e9) are not sound but garbage."""

LEAST_RATE, MOST_RATE = 1_000, 1_000_000
"""Sample rates in Hz beyond which a header lies: a second may be any number of samples there."""
FORMATS = (
    "wav,w64,flac,ogg,mp3,aac,ac3,eac3,aiff,au,caf,amr,amrnb,amrwb,g722,gsm,mov,matroska,webm,avi,flv,asf,mpeg,mpegts,"
    "3gp,s16le,wv,ape,tta,dts,rm"
)
"""What FFmpeg may take a file for: no playlist, whose entries would be files and addresses of this machine."""
_LOCAL = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
MOST_NUMBERS = 1 << 28
"""Most samples times channels that are read at once, 1 GiB: 4.6 hours at 16 kHz. A few kB can claim any number."""

_MP3_RUN_UP = 16 * 1152  # samples; a frame's bits may lie as far back, in the "reservoir", and a seek misses them
_MOST_FRAMES = 1 << 40  # two years at 16 kHz
_BLOCK = 1 << 22  # numbers that room is made for at once, since a header may promise more than there is
_CUT_SHORT = re.compile(r"\b(?:data|SSND) *: (\d+) \(should be (\d+)\)")


class _UnknownLengthError(Exception):
    """A header that does not state the length, as in a FLAC file written to a pipe; libsndfile makes up a huge one."""


_NOT_FOR_LIBSNDFILE = (
    _UnknownLengthError,
    soundfile.LibsndfileError,
    TypeError,  # a raw format known by its ending alone
    UnicodeEncodeError,  # a file name that is not valid UTF-8
)


class AudioError(LabError):
    """An audio file that cannot be used; the message names it and says why."""


class AudioInfo(NamedTuple):
    """What a header says: `frames` samples of each of `channels` channels at `sample_rate` Hz."""

    frames: int
    sample_rate: int
    channels: int


def info(path: str | Path) -> AudioInfo:
    """Length, rate and channels of an audio file; reads the header only where the format allows.

    Raises:
        AudioError: the file is missing, unreadable or empty.
    """
    try:
        with _sound_file(path) as file:
            found = AudioInfo(file.frames, file.samplerate, file.channels)
    except _NOT_FOR_LIBSNDFILE:
        _check_exists(path)
        samples, sample_rate = _decode_with_av(path)
        found = AudioInfo(samples.shape[0], sample_rate, samples.shape[1])
    if found.frames <= 0:
        raise AudioError(f"{path}: holds no audio (0 samples). Remove it or replace it.")
    return found


def declared_frames(path: str | Path) -> int | None:
    """Length in samples that a header states; None where libsndfile cannot tell.

    A WAV or AIFF file that has been cut short is read as if it had always been shorter; what it once was stands in the
    log of libsndfile alone.
    """
    try:
        with _sound_file(path) as file:
            cut = _CUT_SHORT.search(file.extra_info)
            sizes = (int(cut[1]), int(cut[2])) if cut else (0, 0)
            # a recorder that never knew the length wrote the greatest number there is
            frames: int = file.frames
            return frames * sizes[0] // sizes[1] if 0 < sizes[1] < sizes[0] < 0x7FFFFFFF else frames
    except _NOT_FOR_LIBSNDFILE:
        return None


def load(path: str | Path, start: int = 0, frames: int | None = None) -> Wave:
    """Reads a file, or a part of it, as mono at 16 kHz.

    Args:
        path: any format that libsndfile or PyAV reads.
        start: first sample to read, at the file's own rate.
        frames: number of samples to read at the file's own rate; None reads to the end.

    Returns:
        Waveform ``(T,)``, float32; channels are averaged.

    Raises:
        AudioError: the file is missing, unreadable or empty there, or holds NaN, infinite or absurdly large samples.
    """
    samples, sample_rate = read(path, start, frames)
    if not samples.size:
        raise AudioError(f"{path}: holds no audio from sample {start} on. Remove it or mend its manifest row.")
    if not -MAX_AMPLITUDE < samples.min() <= samples.max() < MAX_AMPLITUDE:  # false of NaN too
        bad, channel = np.argwhere(~(np.abs(samples) < MAX_AMPLITUDE))[0]
        value = samples[bad, channel]
        raise AudioError(f"{path}: sample {start + bad} is {value:g}. Export the file again without NaN or infinity.")
    return resample(samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32), sample_rate)


def read(path: str | Path, start: int = 0, frames: int | None = None) -> tuple[Wave, int]:
    """Reads a file, or a part of it, as it is.

    Args:
        path: any format that libsndfile or PyAV reads.
        start: first sample to read.
        frames: number of samples to read; None reads to the end. There are fewer where the file ends.

    Returns:
        Samples ``(T, channels)``, float32, full scale 1, and their rate in Hz.

    Raises:
        AudioError: the file is missing or unreadable.
    """
    try:
        with _sound_file(path) as file:
            begin = min(start, file.frames)
            run_up = min(begin, _MP3_RUN_UP) if file.format == "MP3" else 0
            if begin:  # a seek takes time even to where one is
                file.seek(begin - run_up)
            end = file.frames if frames is None else min(begin + frames, file.frames)
            samples = _in_blocks(file, path, run_up + end - begin)
            return samples[run_up:], file.samplerate
    except _NOT_FOR_LIBSNDFILE:
        _check_exists(path)
        samples, sample_rate = _decode_with_av(path, None if frames is None else start + frames)
        return samples[start:], sample_rate


def resample(wave: Wave, from_rate: int, to_rate: int = SAMPLE_RATE) -> Wave:
    """Resamples ``(T,)`` with soxr (high quality, linear phase), the one resampler for every class and corpus."""
    if from_rate == to_rate:
        return wave
    resampled: Wave = soxr.resample(wave, from_rate, to_rate, quality="HQ").astype(np.float32, copy=False)
    return resampled


def fit_length(wave: Wave, length: int, padding: Padding = "repeat") -> Wave:
    """First `length` samples of a waveform ``(T,)``; a shorter one is padded at its end.

    Repetition is the habit of the field (ASVspoof baselines): digital zeros would tell the length apart. "reflect"
    goes back and forth instead, without a jump at the seam.
    """
    missing = length - len(wave)
    if missing > 0 and padding == "zeros":
        return np.pad(wave, (0, missing))
    if missing > 0:
        whole = wave if padding == "repeat" else np.concatenate([wave, wave[::-1]])
        wave = np.tile(whole, -(-length // len(whole)))
    return wave[:length]


def windows(wave: Wave, length: int) -> Wave:
    """Cuts a waveform ``(T,)`` into consecutive windows ``(N, length)``.

    The last window ends where the audio ends, overlapping its neighbour if it must; audio shorter than one window is
    repeated to fill it. So every sample is heard and nothing is padded with silence.
    """
    if len(wave) <= length:
        return fit_length(wave, length)[None]
    starts = [*range(0, len(wave) - length, length), len(wave) - length]
    return np.stack([wave[start : start + length] for start in starts])


def _sound_file(path: str | Path) -> soundfile.SoundFile:
    file = soundfile.SoundFile(path)
    if file.frames > _MOST_FRAMES:
        file.close()
        raise _UnknownLengthError
    if not LEAST_RATE <= file.samplerate <= MOST_RATE:
        file.close()
        _check_rate(path, file.samplerate)
    return file


def _in_blocks(file: soundfile.SoundFile, path: str | Path, left: int) -> Wave:
    """The next samples of a file ``(T, channels)``, `left` of them or as many as are there."""
    size = max(_BLOCK // file.channels, 1)
    blocks: list[Wave] = [file.read(min(size, left), dtype="float32", always_2d=True)]
    while blocks[-1].size and (left := left - len(blocks[-1])):
        blocks.append(file.read(min(size, left), dtype="float32", always_2d=True))
        _check_size(path, len(blocks) * blocks[0].size)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _check_rate(path: str | Path, sample_rate: int) -> None:
    if not LEAST_RATE <= sample_rate <= MOST_RATE:
        raise AudioError(f"{path}: a rate of {sample_rate} Hz. Export the file again, at 16000 Hz or so.")


def _check_size(path: str | Path, numbers: int) -> None:
    if numbers > MOST_NUMBERS:
        raise AudioError(f"{path}: more than {MOST_NUMBERS:,} samples. Cut it into parts.")


def _check_exists(path: str | Path) -> None:
    if not Path(path).is_file():
        raise AudioError(f"{path}: no such file. Check data.root, or prepare the corpus again with force=true.")


def _decode_with_av(path: str | Path, stop: int | None = None) -> tuple[Wave, int]:
    """Decodes the first audio stream up to sample `stop`, or its end: samples ``(T, channels)`` and rate in Hz.

    It begins at the beginning: a codec that remembers (AAC, G.722) gives other samples after a seek.
    """
    import av  # here, since most files never need it
    import av.error

    raw_format = (
        "g722" if Path(path).suffix == ".g722" else None
    )  # a stream without a header: its ending is all there is
    try:
        with av.open(str(path), format=raw_format, options=dict(_LOCAL)) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: has no audio stream. Remove it from the corpus.")
            to_float = av.AudioResampler(format="flt")  # in planes PyAV finds eight channels, and memory of others
            decoded: list[av.AudioFrame] = []
            length = 0
            for frame in container.decode(audio=0):
                decoded += to_float.resample(frame)
                length += frame.samples
                _check_size(path, length * frame.layout.nb_channels)
                if stop is not None and length >= stop:
                    break
        if not decoded:
            raise AudioError(f"{path}: holds no audio ({Path(path).stat().st_size} bytes). Remove it or replace it.")
        samples = np.concatenate([frame.to_ndarray().reshape(-1, frame.layout.nb_channels) for frame in decoded])[:stop]
    except (av.error.FFmpegError, ValueError) as error:
        size = Path(path).stat().st_size
        raise AudioError(
            f"{path}: cannot be decoded ({size} bytes; {error}). Replace the file or remove it."
        ) from error
    _check_rate(path, decoded[0].sample_rate)
    return np.ascontiguousarray(samples, dtype=np.float32), decoded[0].sample_rate
