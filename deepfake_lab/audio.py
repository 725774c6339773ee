"""Audio files to waveforms: probe, partial read, resample, crop, repeat-pad. Pure functions on float32 arrays `(T,)`.

libsndfile reads first; PyAV (FFmpeg) reads what libsndfile does not: G.722, AAC, MP4, and FLAC files it rejects.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from deepfake_lab.types import SAMPLE_RATE, LabError

Wave = npt.NDArray[np.float32]

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

_MP3_RUN_UP = 16 * 1152  # samples; a frame's bits may lie as far back, in the "reservoir", and a seek misses them
_NOT_FOR_LIBSNDFILE = (
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
        with soundfile.SoundFile(path) as file:
            found = AudioInfo(file.frames, file.samplerate, file.channels)
    except _NOT_FOR_LIBSNDFILE:
        _check_exists(path)
        samples, sample_rate = _decode_with_av(path)
        found = AudioInfo(samples.shape[0], sample_rate, samples.shape[1])
    if found.frames <= 0:
        raise AudioError(f"{path}: holds no audio (0 samples). Remove it or replace it.")
    return found


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
    samples, sample_rate = _read(path, start, frames)
    if not samples.size:
        raise AudioError(f"{path}: holds no audio from sample {start} on. Remove it or mend its manifest row.")
    if not -MAX_AMPLITUDE < samples.min() <= samples.max() < MAX_AMPLITUDE:  # false of NaN too
        bad, channel = np.argwhere(~(np.abs(samples) < MAX_AMPLITUDE))[0]
        value = samples[bad, channel]
        raise AudioError(f"{path}: sample {start + bad} is {value:g}. Export the file again without NaN or infinity.")
    return resample(samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32), sample_rate)


def resample(wave: Wave, from_rate: int, to_rate: int = SAMPLE_RATE) -> Wave:
    """Resamples ``(T,)`` with soxr (high quality, linear phase), the one resampler for every class and corpus."""
    if from_rate == to_rate:
        return wave
    resampled: Wave = soxr.resample(wave, from_rate, to_rate, quality="HQ").astype(np.float32, copy=False)
    return resampled


def fit_length(wave: Wave, length: int) -> Wave:
    """First `length` samples of a waveform ``(T,)``; a shorter one is repeated, not padded with zeros.

    Repetition is the habit of the field (ASVspoof baselines): digital zeros would tell the length apart.
    """
    if len(wave) < length:
        wave = np.tile(wave, -(-length // len(wave)))
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


def _read(path: str | Path, start: int, frames: int | None) -> tuple[Wave, int]:
    """Samples ``(T, channels)`` and sample rate of a part of a file."""
    try:
        with soundfile.SoundFile(path) as file:
            begin = min(start, file.frames)
            run_up = min(begin, _MP3_RUN_UP) if file.format == "MP3" else 0
            if begin:  # a seek takes time even to where one is
                file.seek(begin - run_up)
            samples: Wave = file.read(-1 if frames is None else run_up + frames, dtype="float32", always_2d=True)
            return samples[run_up:], file.samplerate
    except _NOT_FOR_LIBSNDFILE:
        _check_exists(path)
        samples, sample_rate = _decode_with_av(path)
        return samples[start : None if frames is None else start + frames], sample_rate


def _check_exists(path: str | Path) -> None:
    if not Path(path).is_file():
        raise AudioError(f"{path}: no such file. Check data.root, or prepare the corpus again with force=true.")


def _decode_with_av(path: str | Path) -> tuple[Wave, int]:
    """Decodes the first audio stream of a whole file: samples ``(T, channels)`` and its rate in Hz."""
    import av  # here, since most files never need it
    import av.error

    raw_format = (
        "g722" if Path(path).suffix == ".g722" else None
    )  # a stream without a header: its ending is all there is
    try:
        with av.open(str(path), format=raw_format) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: has no audio stream. Remove it from the corpus.")
            to_float = av.AudioResampler(format="fltp")
            decoded = [part for frame in container.decode(audio=0) for part in to_float.resample(frame)]
    except (av.error.FFmpegError, ValueError) as error:
        size = Path(path).stat().st_size
        raise AudioError(
            f"{path}: cannot be decoded ({size} bytes; {error}). Replace the file or remove it."
        ) from error
    if not decoded:
        raise AudioError(f"{path}: holds no audio ({Path(path).stat().st_size} bytes). Remove it or replace it.")
    samples = np.concatenate([frame.to_ndarray() for frame in decoded], axis=1).T
    return np.ascontiguousarray(samples, dtype=np.float32), decoded[0].sample_rate
