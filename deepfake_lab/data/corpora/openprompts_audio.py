"""Speech in recordings, and what treats it: the trimmer, the band, the limiter that openprompts and others share."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from deepfake_lab.audio import Wave
from deepfake_lab.types import SAMPLE_RATE

FRAME: Final = 160
"""Grid of all cuts: 10 ms at 16 kHz."""
LONGEST_S: Final = 6.0
"""Longer speech is cut at its quietest moment."""

_SILENT_DB = -45.0  # a piece with a lower RMS level is not speech
_EDGE_DB = -35.0  # quieter than the loudest frame by this much is an edge, not speech
_BAND = signal.firwin(1023, (150.0, 6800.0), window=("kaiser", 8.0), pass_zero=False, fs=SAMPLE_RATE)  # 80 dB down
_LOOK_AHEAD = 64  # of the limiter, in samples

Samples = npt.NDArray[np.float64]


class Piece(NamedTuple):
    """Speech within a recording: samples `start` to `stop`, and their RMS level in dB below full scale."""

    start: int
    stop: int
    level: float


def pieces(wave: Wave, shortest: float) -> list[Piece]:
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


def in_band(wave: Wave | Samples) -> Samples:
    """Keeps the band of the line, and delays nothing."""
    return np.asarray(signal.oaconvolve(np.asarray(wave, dtype=np.float64), _BAND, mode="same"))


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
