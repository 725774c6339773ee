"""What every clip of openprompts goes through, real and spoofed alike.

A detector must not win by hearing which class was compressed by a studio, ended in silence, or came through a codec.
So both classes of a recording go through one line. The telephone line has a band, a phase, a limiter, noise, G.722:
without phase and limiter, crest factor and asymmetry tell most of the classes apart; without a steep band and noise
that fills all the rest, rumble of the vocoders and the end of the spectrum do. The wide line leaves speech as a good
microphone hears it, up to its edge near 8 kHz, and fills digital silence and the holes that lossy coding left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import ClassVar, Final

import av
import numpy as np
import numpy.typing as npt
from scipy import signal

from deepfake_lab.audio import Wave
from deepfake_lab.data.corpora.openprompts_audio import FRAME, Samples, in_band, limit, rms_db
from deepfake_lab.types import SAMPLE_RATE

MARGIN_FRAMES: Final = (5, 24)
"""Shortest and longest stretch of line noise before and after the speech."""

_ALL_PASSES, _ALL_PASS_HZ, _ALL_PASS_RADIUS = 10, (100.0, 4000.0), (0.8, 0.98)
_CREST_DB = (10.0, 11.5)  # range of peak over RMS; speech has more, so the limiter always works
_NOISE_DB = (-56.0, -42.0)  # range of the line noise, in dB below full scale: louder than what sources bring along

_LOW_HZ, _HIGH_HZ = (40.0, 80.0), (7000.0, 7900.0)  # ranges of the edges of the wide line
_SNR_DB = (30.0, 60.0)  # range of its noise, in dB below the speech
_SLOPE = (0.0, 1.0)  # range of that noise's power over 1/f: white to pink
_LOUDEST_DB = -24.0  # RMS level; the highest peaks of speech, 22 dB above, are not clipped then

Int16 = npt.NDArray[np.int16]


class Line(ABC):
    """What is between a speaker and the clip.

    Attributes:
        codec: what a clip has gone through last.
    """

    codec: ClassVar[str]

    @abstractmethod
    def send(self, wave: Wave, level: float, margins: tuple[int, int], seed: int) -> Int16:
        """Sends a piece of speech.

        Args:
            wave: speech ``(T,)``, 16 kHz, T a multiple of `FRAME`.
            level: RMS level of the recording, in dB below full scale.
            margins: frames of line noise before and after the speech.
            seed: decides whatever is random in the line.

        Returns:
            Samples ``(T + margins * FRAME,)``, 16 bit.
        """


class Telephone(Line):
    """Telephony: random polarity, phase, limit and noise, 150 to 6800 Hz, G.722."""

    codec = "g722"

    def send(self, wave: Wave, level: float, margins: tuple[int, int], seed: int) -> Int16:
        """See `Line.send`."""
        draw = np.random.default_rng(seed)
        turned = signal.sosfilt(_all_pass(draw), in_band(wave) * draw.choice((-1, 1)))
        speech = in_band(_padded(limit(turned, draw.uniform(*_CREST_DB)), margins))  # the limiter's gain left the band
        speech *= 10 ** ((level - _level(speech, margins)) / 20)
        noise = draw.standard_normal(len(speech)) * 10 ** (draw.uniform(*_NOISE_DB) / 20)
        received = g722(speech + noise)
        return np.asarray(np.round(received - received.mean()), dtype=np.int16)


class Wide(Line):
    """A clean wideband channel: random polarity, edges of the band, and noise of a random level and colour."""

    codec = "none"

    def send(self, wave: Wave, level: float, margins: tuple[int, int], seed: int) -> Int16:
        """See `Line.send`."""
        draw = np.random.default_rng(seed)
        band = _wide_band(draw)
        speech = band(_padded(wave * draw.choice((-1.0, 1.0)), margins))
        level = min(level, _LOUDEST_DB)
        speech *= 10 ** ((level - _level(speech, margins)) / 20)
        noise = band(coloured(draw, len(speech), draw.uniform(*_SLOPE)))
        noise *= 10 ** ((level - draw.uniform(*_SNR_DB) - rms_db(noise)) / 20)
        return np.asarray(np.round(np.clip(speech + noise, -1, 1) * 32767), dtype=np.int16)


LINES: Final[dict[str, Line]] = {"telephone": Telephone(), "wide": Wide()}


def coloured(draw: np.random.Generator, length: int, slope: float) -> Samples:
    """Gaussian noise ``(length,)`` whose power falls as ``1 / f**slope`` above 20 Hz: 0 is white, 1 pink."""
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(draw.standard_normal(length)) * np.maximum(frequency, 20.0) ** (-slope / 2)
    return np.asarray(np.fft.irfft(spectrum, length))


def _padded(speech: Wave | Samples, margins: tuple[int, int]) -> Samples:
    """Speech that fades in and out over a frame, between silent margins."""
    fade = np.minimum(np.arange(len(speech)) / FRAME, 1)
    before, after = (frames * FRAME for frames in margins)
    return np.pad(speech * fade * fade[::-1], (before, after))


def _level(padded: Samples, margins: tuple[int, int]) -> float:
    """RMS level of the speech between margins, in dB."""
    before, after = (frames * FRAME for frames in margins)
    return rms_db(padded[before : len(padded) - after])


def _wide_band(draw: np.random.Generator) -> Callable[[Samples], Samples]:
    """A filter from a drawn lower edge, 24 dB an octave, to a drawn, steep upper edge."""
    high_pass = signal.butter(4, draw.uniform(*_LOW_HZ), "highpass", fs=SAMPLE_RATE, output="sos")
    low_pass = signal.firwin(511, draw.uniform(*_HIGH_HZ), window=("kaiser", 8.0), fs=SAMPLE_RATE)

    def band(wave: Samples) -> Samples:
        return np.asarray(signal.oaconvolve(signal.sosfilt(high_pass, wave), low_pass, mode="same"))

    return band


def _all_pass(draw: np.random.Generator) -> Samples:
    """Second-order all-pass sections ``(n, 6)`` with random poles: they turn phases and leave magnitudes alone."""
    low, high = np.log(_ALL_PASS_HZ)
    angle = 2 * np.pi * np.exp(draw.uniform(low, high, _ALL_PASSES)) / SAMPLE_RATE
    radius = draw.uniform(*_ALL_PASS_RADIUS, _ALL_PASSES)
    one: Samples = np.ones(_ALL_PASSES)
    middle, last = -2 * radius * np.cos(angle), radius**2
    return np.stack([last, middle, one, one, middle, last], axis=1)


def g722(wave: Samples) -> Int16:
    """Encodes ``(T,)`` with G.722 at 64 kbit/s and decodes it again, 16 bit; T is even."""
    samples = np.round(np.clip(wave, -1, 32767 / 32768) * 32768).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    encoder, decoder = av.CodecContext.create("g722", "w"), av.CodecContext.create("g722", "r")
    for codec in (encoder, decoder):
        codec.sample_rate, codec.layout, codec.format = SAMPLE_RATE, "mono", "s16"
    encoder.time_base = Fraction(1, SAMPLE_RATE)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoded = [part.to_ndarray()[0] for packet in packets for part in decoder.decode(packet)]
    return np.concatenate(decoded)[: len(wave)].astype(np.int16)
