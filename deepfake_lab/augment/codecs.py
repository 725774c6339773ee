"""Lossy codecs as channels: a waveform is encoded and decoded again in memory, and comes back aligned.

The family is that of ASVspoof 5 (arXiv 2502.08857, conditions C01-C10, and their ranges of bit rates), with G.722,
G.711, GSM 06.10 and Vorbis beside it. PyAV encodes Opus, AMR-NB, MP3, AAC, G.722 and G.711; libsndfile Vorbis and GSM.
Speex and AMR-WB need an ``ffmpeg`` program with libspeex or libvo-amrwbenc, on the PATH or in ``imageio-ffmpeg``;
many have neither. EnCodec (C04, C07) is missing, since its trained weights would be needed.

Where an encoder can search less for the same bits, it does, and what takes a program (0.1 s to start it) is used only
where it is named: a codec in training must not cost more than training.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import ClassVar, Final, Literal, cast

import av
import numpy as np
import soundfile
from av.codec.codec import UnknownCodecError

from deepfake_lab.audio import Wave, resample
from deepfake_lab.augment.augmentation import UtteranceAugmentation
from deepfake_lab.types import SAMPLE_RATE, LabError

_RUN_OUT = SAMPLE_RATE // 5  # zeros after the end, more than any delay: what is late still arrives
_NARROW, _WIDE = 8_000, SAMPLE_RATE


@dataclass(frozen=True)
class Codec(ABC):
    """A codec that can be applied to speech.

    Attributes:
        name: what configurations and tables call it.
        rate: sample rate in Hz that it codes, 8 kHz or 16 kHz.
        qualities: settings from worst to best, bit rates in kbit/s; those of Vorbis are its own scale from 0 to 10.
        starts_program: whether each use starts a program, which takes longer than any other codec works.
    """

    name: str
    rate: int
    qualities: tuple[float, ...]
    starts_program: ClassVar[bool] = False

    def __call__(self, wave: Wave, quality: float) -> Wave:
        """Encodes and decodes a waveform.

        Args:
            wave: speech ``(T,)``, float32, 16 kHz; it is clipped to [-1, 1], as encoders do.
            quality: one of `qualities`.

        Returns:
            What arrives ``(T,)``: float32, 16 kHz, without the delay of the codec.

        Raises:
            LabError: the codec has no such quality.
        """
        if quality not in self.qualities:
            raise LabError(f"codec {self.name}: no quality {quality:g}. Choose from {_listed(self.qualities)}.")
        start = _delay(self)
        return self._received(wave, quality)[start : start + len(wave)]

    def _received(self, wave: Wave, quality: float) -> Wave:
        """What arrives, as late as the codec makes it, with `_RUN_OUT` samples more."""
        sent = resample(np.pad(wave, (0, _RUN_OUT)), SAMPLE_RATE, self.rate)
        return resample(self._transcode(np.clip(sent, -1, 1), quality), self.rate)

    @property
    @abstractmethod
    def missing(self) -> str | None:
        """What this machine would have to have to apply the codec; None where it has everything."""

    @abstractmethod
    def _transcode(self, samples: Wave, quality: float) -> Wave:
        """Encodes and decodes samples ``(T,)`` at the rate of the codec; the result is late, and no shorter."""


@dataclass(frozen=True)
class PyavCodec(Codec):
    """A codec of the FFmpeg libraries that PyAV ships.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder.
        options: settings of the encoder beside the bit rate.
    """

    encoder: str
    decoder: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def missing(self) -> str | None:
        """A build of PyAV with encoder and decoder, where this one lacks them."""
        try:
            av.Codec(self.encoder, "w"), av.Codec(self.decoder, "r")
        except UnknownCodecError:
            return f"a PyAV built with {self.encoder}"
        return None

    def _transcode(self, samples: Wave, quality: float) -> Wave:
        encoder, decoder = _context(self.encoder, "w", self.rate), _context(self.decoder, "r", self.rate)
        encoder.format = (encoder.codec.audio_formats or [av.AudioFormat("s16")])[0]
        encoder.bit_rate, encoder.time_base = round(1000 * quality), Fraction(1, self.rate)
        encoder.options = dict(self.options)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = self.rate
        packets = [*encoder.encode(frame), *encoder.encode(None)]
        decoder.extradata = encoder.extradata
        frames = [part for packet in (*packets, None) for part in decoder.decode(packet)]
        return resample(_samples(frames), frames[0].sample_rate, self.rate)  # Opus comes out at 48 kHz


@dataclass(frozen=True)
class SndfileCodec(Codec):
    """A codec of libsndfile.

    Attributes:
        container: libsndfile's name of the file format.
        subtype: its name of the codec.
    """

    container: str
    subtype: str

    @property
    def missing(self) -> str | None:
        """A build of libsndfile with the codec, where this one lacks it."""
        known = soundfile.check_format(self.container, self.subtype)
        return None if known else f"a libsndfile built with {self.subtype}"

    def _transcode(self, samples: Wave, quality: float) -> Wave:
        level = 1 - quality / 10 if self.subtype == "VORBIS" else None
        with io.BytesIO() as file:
            with soundfile.SoundFile(
                file, "w", self.rate, 1, self.subtype, format=self.container, compression_level=level
            ) as encoder:
                for start in range(0, len(samples), self.rate):  # libvorbis keeps what it is given at once on the stack
                    encoder.write(samples[start : start + self.rate])
            file.seek(0)
            decoded: Wave = soundfile.read(file, dtype="float32")[0]
        return decoded


@dataclass(frozen=True)
class FfmpegCodec(Codec):
    """A codec that an ``ffmpeg`` program encodes, through pipes, and PyAV decodes.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        container: FFmpeg's name of the file format.
    """

    encoder: str
    container: str
    starts_program: ClassVar[bool] = True

    @property
    def missing(self) -> str | None:
        """An ffmpeg program with the encoder, where there is none."""
        return None if _ffmpeg_with(self.encoder) else f"an ffmpeg with {self.encoder}"

    def _transcode(self, samples: Wave, quality: float) -> Wave:
        raw = ["-f", "s16le", "-ar", str(self.rate), "-ac", "1", "-i", "pipe:0"]
        coded = ["-c:a", self.encoder, "-b:a", str(round(1000 * quality)), "-f", self.container, "pipe:1"]
        sent = np.round(samples * 32767).astype("<i2").tobytes()
        command = [_ffmpeg_with(self.encoder) or "ffmpeg", "-v", "error", *raw, *coded]
        done = subprocess.run(command, input=sent, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ffmpeg failed to encode {self.name}: {done.stderr.decode(errors='replace').strip()}")
        with av.open(io.BytesIO(done.stdout), "r", format=self.container) as file:
            return _samples([*file.decode(audio=0)])


_NEEDS_WEIGHTS = ("encodec",)
_OPUS = (("application", "voip"), ("compression_level", "0"))
_LAME = (("compression_level", "7"),)
_CODECS: Final[dict[str, Codec]] = {
    codec.name: codec
    for codec in (
        PyavCodec("opus_wb", _WIDE, (6, 8, 10, 12, 16, 20, 24, 30), "libopus", "opus", _OPUS),
        PyavCodec("opus_nb", _NARROW, (4, 6, 8, 10, 12, 16, 20), "libopus", "opus", _OPUS),
        FfmpegCodec("amr_wb", _WIDE, (6.6, 8.85, 12.65, 14.25, 15.85, 18.25, 19.85, 23.05), "libvo_amrwbenc", "amr"),
        PyavCodec("amr_nb", _NARROW, (4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2, 12.2), "libopencore_amrnb", "amrnb"),
        FfmpegCodec("speex_wb", _WIDE, (5.75, 7.75, 9.8, 12.8, 16.8, 20.6, 23.8, 27.8, 34.2), "libspeex", "ogg"),
        FfmpegCodec("speex_nb", _NARROW, (3.95, 5.95, 8, 11, 15, 18.2, 24.6), "libspeex", "ogg"),
        # ASVspoof 5 states 45-256 for MP3 and 16-128 for AAC; more than these cannot be had at 16 kHz with one channel
        PyavCodec("mp3", _WIDE, (24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160), "libmp3lame", "mp3float", _LAME),
        PyavCodec("aac", _WIDE, (16, 24, 32, 48, 64, 80, 96), "aac", "aac", (("aac_coder", "fast"),)),
        SndfileCodec("vorbis", _WIDE, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), "OGG", "VORBIS"),
        PyavCodec("g722", _WIDE, (64,), "g722", "g722"),
        PyavCodec("mulaw", _NARROW, (64,), "pcm_mulaw", "pcm_mulaw"),
        PyavCodec("alaw", _NARROW, (64,), "pcm_alaw", "pcm_alaw"),
        SndfileCodec("gsm", _NARROW, (13,), "WAV", "GSM610"),
    )
}


def available() -> tuple[str, ...]:
    """Names of the codecs that this machine can apply."""
    return tuple(name for name, codec in _CODECS.items() if not codec.missing)


def find(name: str) -> Codec:
    """The codec of a name, which says its `qualities`.

    Raises:
        LabError: there is no such codec, or this machine cannot encode it.
    """
    codec = _CODECS.get(name)
    if name in _NEEDS_WEIGHTS:
        raise LabError(
            f"codec '{name}' is a neural network, whose trained weights do not come with the lab. Code recordings of "
            f"both classes with it beforehand (data=folder), or choose from {_listed(available())}."
        )
    if codec is None:
        raise LabError(f"codec '{name}' is not known. Choose from {_listed(available())}.")
    if codec.missing:
        raise LabError(f"codec '{name}' needs {codec.missing}. Install it, or choose from {_listed(available())}.")
    return codec


def recode(wave: Wave, name: str, quality: float) -> Wave:
    """Encodes and decodes a waveform ``(T,)``, float32, 16 kHz, by the codec of a name; see `Codec.__call__`.

    Raises:
        LabError: no such codec here, or it has no such quality.
    """
    return find(name)(wave, quality)


class RandomCodec(UtteranceAugmentation):
    """Sends an utterance through one codec, drawn together with its quality; all are equally probable.

    Args:
        p: probability that an utterance is coded.
        codecs: names to draw from; None takes every codec that this machine can apply without starting a program.

    Raises:
        LabError: `p` is no probability, no codec is named, or one that is not available here.
    """

    def __init__(self, p: float = 0.5, codecs: Sequence[str] | None = None) -> None:
        super().__init__(p)
        if codecs is None:
            codecs = [name for name in available() if not _CODECS[name].starts_program]
        self.codecs = tuple(find(name) for name in codecs)
        if not self.codecs:
            raise LabError(f"augment: codecs=[]: name some of {_listed(available())}, or null for all.")

    def augmented(self, wave: Wave, draw: np.random.Generator) -> Wave:
        """The waveform ``(T,)`` after a codec; see `UtteranceAugmentation.__call__`."""
        codec = self.codecs[draw.integers(len(self.codecs))]
        return codec(wave, codec.qualities[draw.integers(len(codec.qualities))])


@lru_cache
def _delay(codec: Codec) -> int:
    """Samples at 16 kHz by which the codec is late, measured by noise: builds state it in as many ways as there are."""
    noise = resample(0.1 * np.random.default_rng(0).standard_normal(2000).astype(np.float32), _NARROW)
    received = codec._received(noise, codec.qualities[-1])
    return int(np.argmax(np.correlate(received, noise, "valid")))


def _context(name: str, mode: Literal["r", "w"], rate: int) -> av.AudioCodecContext:
    context = cast("av.AudioCodecContext", av.CodecContext.create(name, mode))
    context.sample_rate, context.layout = rate, "mono"
    return context


def _samples(frames: Sequence[av.AudioFrame]) -> Wave:
    """Decoded mono frames as one float32 waveform ``(T,)``, full scale 1."""
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0]
    full_scale = 32768 if samples.dtype == np.int16 else 1
    return np.asarray(samples / full_scale, dtype=np.float32)


@lru_cache
def _ffmpeg_with(encoder: str) -> str | None:
    """Path of an ffmpeg program that has an encoder; None if there is none."""
    for program in filter(None, (shutil.which("ffmpeg"), _bundled_ffmpeg())):
        listed = subprocess.run([program, "-v", "error", "-encoders"], capture_output=True, text=True, check=False)
        if f" {encoder} " in listed.stdout:
            return program
    return None


def _bundled_ffmpeg() -> str | None:
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # no package, or one without a program for this platform
        return None


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
