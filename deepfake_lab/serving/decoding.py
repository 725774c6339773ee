"""Recordings as streams of samples: any format, any length, a bounded amount of memory.

`deepfake_lab.audio` reads a corpus, whose files are short; what people bring may last for hours, or claim to. The
samples are those of `deepfake_lab.audio.load`: libsndfile reads first, PyAV what libsndfile does not.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import numpy as np
import soundfile
import soxr
from av.container import InputContainer

from deepfake_lab.audio import FORMATS, LEAST_RATE, MAX_AMPLITUDE, MOST_RATE, AudioError, Wave
from deepfake_lab.types import SAMPLE_RATE

_BLOCK = 1 << 18  # numbers of a block, whatever the number of channels
_BUFFER = 1 << 12  # bytes that FFmpeg asks a pipe for at once: what it waits for is latency
_UNKNOWN = 1 << 40  # a header that does not state the length gives a larger one: see `deepfake_lab.audio`
_NOT_FOR_LIBSNDFILE = (soundfile.LibsndfileError, TypeError, UnicodeEncodeError)
_HEADLESS = {".g722": "g722"}  # formats without a header, by ending
_CLOSED = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
"""For bytes that anybody may have sent; a file on disk needs a protocol."""


class TooLongError(AudioError):
    """A recording that is longer than is allowed."""


def _go_on() -> None:
    pass


@dataclass(frozen=True)
class Block:
    """Consecutive samples of a recording, channels averaged.

    Attributes:
        wave: samples ``(T,)``, float32, full scale 1.
        sample_rate: their rate in Hz.
    """

    wave: Wave
    sample_rate: int


@dataclass(frozen=True)
class RawFormat:
    """16-bit samples of one channel, lowest byte first, and nothing else.

    Attributes:
        sample_rate: in Hz.
    """

    sample_rate: int


@dataclass(frozen=True)
class Recording:
    """A file, the bytes of one, or a pipe that one comes through.

    Args:
        source: where it is, or what it holds. A pipe can be decoded once, and is as it comes.
        name: what messages call it.
        most_s: longest recording that is decoded, in s; None sets no limit. A few bytes can hold hours of silence.
        raw: of samples without a header; None for all that has one.
        check: is called often while it is decoded; what it raises ends that.
    """

    source: Path | bytes | BinaryIO
    name: str
    most_s: float | None = None
    raw: RawFormat | None = None
    check: Callable[[], None] = field(default=_go_on)

    def blocks(self) -> Generator[Block]:
        """Decodes it from the beginning, a block at a time.

        Raises:
            TooLongError: it is longer than `most_s`.
            AudioError: it is missing, empty, damaged, of an absurd rate, or holds NaN, infinite or absurdly large
                samples.
        """
        heard = 0
        for wave, rate in self._decoded():
            self.check()
            if not LEAST_RATE <= rate <= MOST_RATE:
                raise AudioError(f"{self.name}: a rate of {rate} Hz. Export the file again, at 16000 Hz or so.")
            if not np.isfinite(wave).all() or np.abs(wave).max(initial=0) >= MAX_AMPLITUDE:
                bad = int(np.flatnonzero(~(np.abs(wave) < MAX_AMPLITUDE))[0])
                what = f"sample {heard + bad} is {wave[bad]:g}"
                raise AudioError(f"{self.name}: {what}. Export the file again without NaN or infinity.")
            heard += len(wave)
            if self.most_s is not None and heard > self.most_s * rate:
                raise TooLongError(f"{self.name}: longer than {self.most_s:g} s. Send a part of it.")
            yield Block(wave, rate)
        if not heard:
            raise AudioError(f"{self.name}: holds no audio (0 samples). Remove it or replace it.")

    def waves(self, start: int = 0, frames: int | None = None) -> Generator[Wave]:
        """Decodes it, or a part of it, as mono at 16 kHz.

        Args:
            start: first sample, at the recording's own rate.
            frames: number of samples at that rate; None goes to the end.

        Yields:
            Consecutive waveforms ``(T,)``, float32.

        Raises:
            AudioError: see `blocks`.
        """
        resampler: soxr.ResampleStream | None = None
        place, stop = 0, None if frames is None else start + frames
        with closing(self.blocks()) as blocks:
            for block in blocks:
                part = block.wave[max(start - place, 0) : None if stop is None else max(stop - place, 0)]
                place += len(block.wave)
                if block.sample_rate != SAMPLE_RATE:
                    resampler = resampler or soxr.ResampleStream(block.sample_rate, SAMPLE_RATE, 1, quality="HQ")
                    part = resampler.resample_chunk(part)
                if len(part):
                    yield part
                if stop is not None and place >= stop:
                    break
        if resampler is not None and len(rest := resampler.resample_chunk(np.empty(0, np.float32), last=True)):
            yield rest

    def stated_s(self) -> float | None:
        """Length in s that its header states, if libsndfile finds one; decoding may find another."""
        if not isinstance(self.source, Path | bytes):
            return None
        try:
            with soundfile.SoundFile(self._opened()) as file:
                return float(file.frames / file.samplerate) if file.frames < _UNKNOWN else None
        except _NOT_FOR_LIBSNDFILE:
            return None

    def _decoded(self) -> Generator[tuple[Wave, int]]:
        given = 0
        if isinstance(self.source, Path | bytes) and self.raw is None:  # libsndfile goes back and forth
            try:
                with soundfile.SoundFile(self._opened()) as file:
                    if file.frames < _UNKNOWN:
                        for wave, rate in _by_libsndfile(file):
                            yield wave, rate
                            given += len(wave)
                        return
            except _NOT_FOR_LIBSNDFILE:
                pass
        for wave, rate in self._by_av():  # goes on where libsndfile found damage
            if given < len(wave):
                yield wave[given:], rate
            given = max(given - len(wave), 0)

    def _by_av(self) -> Generator[tuple[Wave, int]]:
        try:
            with self._container() as container:
                if not container.streams.audio:
                    raise AudioError(f"{self.name}: has no audio stream. Name a recording, or a video with sound.")
                to_float = av.AudioResampler(format="flt")  # see `deepfake_lab.audio`
                for decoded in container.decode(audio=0):
                    for frame in to_float.resample(decoded):
                        samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
                        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
                        yield np.asarray(mono, np.float32), frame.sample_rate
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioError(f"{self.name}: cannot be decoded ({error}). Replace the file or remove it.") from error

    def _container(self) -> InputContainer:
        options = _CLOSED | ({"protocol_whitelist": "file"} if isinstance(self.source, Path) else {})
        if self.raw is None:
            source = _Bytes(self.source, self.check) if isinstance(self.source, bytes) else self._opened()
            headless = _HEADLESS.get(Path(self.name).suffix.lower())
            return av.open(source, mode="r", format=headless, options=options, buffer_size=_BUFFER)
        options |= {"sample_rate": str(self.raw.sample_rate), "ch_layout": "mono"}
        return av.open(self._opened(), mode="r", format="s16le", options=options, buffer_size=_BUFFER)

    def _opened(self) -> str | BinaryIO:
        if isinstance(self.source, bytes):
            return _Bytes(self.source)
        if not isinstance(self.source, Path):
            return self.source
        if not self.source.is_file():
            raise AudioError(f"{self.name}: no such file. Name a recording.")
        return str(self.source)


class _Bytes(io.BytesIO):
    """A file in memory, which a decoder may search for long, and ask for what lies before its beginning."""

    def __init__(self, content: bytes, check: Callable[[], None] = _go_on) -> None:
        super().__init__(content)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(offset, 0) if whence == io.SEEK_SET else offset, whence)


def _by_libsndfile(file: soundfile.SoundFile) -> Generator[tuple[Wave, int]]:
    size = max(_BLOCK // file.channels, 1)
    while len(samples := file.read(size, dtype="float32", always_2d=True)):
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
        yield mono, file.samplerate
