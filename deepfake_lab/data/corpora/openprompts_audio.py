"""What happens to every clip of openprompts, real and spoofed alike: one trimmer, one line, one codec.

A detector must not win by hearing which class was compressed by a studio, ended in silence, or came through a codec.
So edges are cut by one rule, and both classes then go through `finish`, which is a telephone line: its band, its phase,
its limiter, its noise, G.722. Without phase and limiter, crest factor and asymmetry tell most of the classes apart;
without a steep band and noise that fills all the rest, rumble of the vocoders and the end of the spectrum do.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from deepfake_lab.audio import Wave
from deepfake_lab.types import SAMPLE_RATE

FRAME: Final = 160
"""Grid of all cuts: 10 ms at 16 kHz."""
SHORTEST_S: Final = 1.2
"""Pieces shorter than this are dropped."""
LONGEST_S: Final = 6.0
"""Longer speech is cut at its quietest moment."""
MARGIN_FRAMES: Final = (5, 24)
"""Shortest and longest stretch of line noise before and after the speech."""

_SILENT_DB = -45.0  # a piece with a lower RMS level is not speech
_EDGE_DB = -35.0  # quieter than the loudest frame by this much is an edge, not speech
_BAND = signal.firwin(1023, (150.0, 6800.0), window=("kaiser", 8.0), pass_zero=False, fs=SAMPLE_RATE)  # 80 dB down
_ALL_PASSES, _ALL_PASS_HZ, _ALL_PASS_RADIUS = 10, (100.0, 4000.0), (0.8, 0.98)
_CREST_DB = (10.0, 11.5)  # range of peak over RMS; speech has more, so the limiter always works
_LOOK_AHEAD = 64  # of the limiter, in samples
_NOISE_DB = (-56.0, -42.0)  # range of the line noise, in dB below full scale: louder than what sources bring along

Samples = npt.NDArray[np.float64]


class Piece(NamedTuple):
    """Speech within a recording: samples `start` to `stop`, and their RMS level in dB below full scale."""

    start: int
    stop: int
    level: float


def pieces(wave: Wave, shortest: float = SHORTEST_S) -> list[Piece]:
    """Finds the speech in a recording and cuts it where it is too long.

    Args:
        wave: recording ``(T,)``, 16 kHz.
        shortest: pieces shorter than this, in seconds, are dropped.

    Returns:
        Pieces of `shortest` to `LONGEST_S` seconds that begin and end with speech, in order.
    """
    levels = _frame_levels(wave)
    spans, found = [(0, len(levels))], []
    while spans:
        start, stop = _trim(levels, *spans.pop())
        if (stop - start) * FRAME > LONGEST_S * SAMPLE_RATE:
            cut = _quietest(levels, start)
            spans += [(cut, stop), (start, cut)]
        elif (stop - start) * FRAME >= max(shortest * SAMPLE_RATE, 1):
            first, last = start * FRAME, stop * FRAME
            found.append(Piece(first, last, round(rms_db(wave[first:last]), 2)))
    return [piece for piece in found if piece.level > _SILENT_DB]


def rms_db(wave: Wave | Samples) -> float:
    """RMS level of ``(T,)`` in dB relative to a full-scale square wave."""
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12))


def finish(wave: Wave, level: float, margins: tuple[int, int], seed: int) -> npt.NDArray[np.int16]:
    """Sends a piece of speech over the line that all clips share.

    Args:
        wave: speech ``(T,)``, 16 kHz, T a multiple of `FRAME`.
        level: RMS level that the speech gets, in dB below full scale.
        margins: frames of line noise before and after it.
        seed: decides polarity, phase, limit and noise of the line.

    Returns:
        Samples ``(T + margins * FRAME,)``, 16 bit.
    """
    draw = np.random.default_rng(seed)
    turned = signal.sosfilt(_all_pass(draw), in_band(wave) * draw.choice((-1, 1)))
    speech = limit(turned, draw.uniform(*_CREST_DB))
    fade = np.minimum(np.arange(len(speech)) / FRAME, 1)
    before, after = (frames * FRAME for frames in margins)
    speech = in_band(np.pad(speech * fade * fade[::-1], (before, after)))  # again: the limiter's gain left the band
    speech *= 10 ** ((level - rms_db(speech[before : len(speech) - after])) / 20)
    noise = draw.standard_normal(len(speech)) * 10 ** (draw.uniform(*_NOISE_DB) / 20)
    received = g722(speech + noise)
    return np.asarray(np.round(received - received.mean()), dtype=np.int16)


def in_band(wave: Wave | Samples) -> Samples:
    """Keeps the band of the line, and delays nothing."""
    return np.asarray(signal.oaconvolve(np.asarray(wave, dtype=np.float64), _BAND, mode="same"))


def _all_pass(draw: np.random.Generator) -> Samples:
    """Second-order all-pass sections ``(n, 6)`` with random poles: they turn phases and leave magnitudes alone."""
    low, high = np.log(_ALL_PASS_HZ)
    angle = 2 * np.pi * np.exp(draw.uniform(low, high, _ALL_PASSES)) / SAMPLE_RATE
    radius = draw.uniform(*_ALL_PASS_RADIUS, _ALL_PASSES)
    one: Samples = np.ones(_ALL_PASSES)
    middle, last = -2 * radius * np.cos(angle), radius**2
    return np.stack([last, middle, one, one, middle, last], axis=1)


def limit(speech: Samples, crest_db: float) -> Samples:
    """Lowers the peaks of ``(T,)``, which is not silent, by a gain that looks ahead.

    It goes just as far as brings peak over RMS down to `crest_db`.
    """
    envelope = ndimage.maximum_filter1d(np.abs(speech), 2 * _LOOK_AHEAD + 1) + 1e-9

    def limited(threshold: float) -> Samples:
        gain = ndimage.uniform_filter1d(np.minimum(1, threshold / envelope), _LOOK_AHEAD)
        return np.asarray(speech * gain)

    low, high = 0.02 * float(envelope.max()), float(envelope.max())
    for _ in range(14):
        middle = (low + high) / 2
        out = limited(middle)
        crest = 20 * np.log10(np.abs(out).max()) - rms_db(out)
        low, high = (low, middle) if crest > crest_db else (middle, high)
    return limited(low)


def g722(wave: Samples) -> npt.NDArray[np.int16]:
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


def _frame_levels(wave: Wave) -> Samples:
    frames = wave[: len(wave) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-12))


def _trim(levels: Samples, start: int, stop: int) -> tuple[int, int]:
    """Frames from the first to the last one with speech."""
    if start == stop:
        return start, stop
    speech = np.flatnonzero(levels[start:stop] > levels.max() + _EDGE_DB)
    return (start + int(speech[0]), start + int(speech[-1]) + 1) if len(speech) else (start, start)


def _quietest(levels: Samples, start: int) -> int:
    """The frame amid the quietest 0.2 s between half and all of the longest piece after `start`."""
    longest = int(LONGEST_S * SAMPLE_RATE) // FRAME
    candidates = levels[start + longest // 2 : start + longest]
    return start + longest // 2 + int(np.argmin(np.convolve(candidates, np.ones(20), mode="valid"))) + 10
