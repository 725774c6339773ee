"""Linear prediction: an all-pole filter driven by pulses and noise (Atal & Hanauer, JASA 50(2B), 1971)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import ndimage

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.stft import Samples, frames, overlap_add, window
from deepfake_lab.synthesis.system import Vocoder, at_level_of

_SIZE, _HOP = 640, 160  # frames of 40 ms, 10 ms apart
_RINGING = 2048  # samples that a filtered frame lasts
_LAGS = (40, 267)  # pitch periods looked for, in samples: 400 to 60 Hz
_VOICING = (0.3, 0.8)  # autocorrelation at the pitch period, from noise alone to pulses alone
_OCTAVE = 0.85  # a shorter period is taken where its peak comes that near to the highest
_WIDER = 0.995  # pulls the poles inwards, so that none rings on


@dataclass(frozen=True)
class Lpc(Vocoder):
    """Source-filter resynthesis; every frame has its own filter, gain, pitch and share of noise.

    Args:
        orders: range of the prediction order, drawn by the seed.
    """

    orders: tuple[int, int] = (18, 24)
    families: ClassVar[tuple[str, ...]] = ("source_filter",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        draw = np.random.default_rng(seed)
        shape = window(_SIZE)
        correlation = _autocorrelation(frames(wave, _SIZE, _HOP) * shape)
        coefficients, error = levinson(correlation, int(draw.integers(*self.orders, endpoint=True)))
        period, voicing = _pitch(correlation / _autocorrelation(shape[None]))
        source = _excitation(period, voicing, draw)
        gain = np.sqrt(error / np.sum(shape**2))
        driven = frames(source, _SIZE, _HOP)[_SIZE // _HOP :][: len(gain)] * shape * gain[:, None]
        wider = coefficients * _WIDER ** np.arange(coefficients.shape[1])
        ringing = np.fft.irfft(np.fft.rfft(driven, _RINGING) / np.fft.rfft(wider, _RINGING), _RINGING)
        padded = np.pad(ringing, ((0, 0), (0, -_RINGING % _HOP)))
        return at_level_of(wave, overlap_add(padded, _HOP)[_SIZE : _SIZE + len(wave)])


def levinson(correlation: Samples, order: int) -> tuple[Samples, Samples]:
    """Prediction error filters ``(L, order + 1)``, beginning with 1, and error energies ``(L,)``.

    The recursion of Levinson and Durbin (Makhoul, Proc. IEEE 63(4), 1975), for all frames at once.

    Args:
        correlation: autocorrelation ``(L, >= order + 1)``.
        order: of the prediction.
    """
    error = correlation[:, 0] * (1 + 1e-6) + 1e-9  # a little white noise: silence has no spectrum to follow
    filters = np.zeros((len(correlation), order + 1))
    filters[:, 0] = 1
    for n in range(1, order + 1):
        reflection = -np.sum(filters[:, :n] * correlation[:, n:0:-1], axis=1) / error
        filters[:, : n + 1] += reflection[:, None] * filters[:, n::-1]
        error = error * (1 - reflection**2)
    return filters, error


def _autocorrelation(parts: Samples) -> Samples:
    """Autocorrelation of each frame ``(L, T)`` at the lags 0 to `_LAGS[1]`."""
    power = np.abs(np.fft.rfft(parts, 2 * parts.shape[1])) ** 2
    return np.asarray(np.fft.irfft(power)[:, : _LAGS[1] + 1])


def _pitch(correlation: Samples) -> tuple[Samples, Samples]:
    """Pitch period in samples and share of the voice, 0 to 1, of each frame ``(L,)``."""
    normal = correlation[:, _LAGS[0] - 1 :] / (correlation[:, :1] + 1e-9)
    peaks = (normal[:, 1:-1] >= normal[:, :-2]) & (normal[:, 1:-1] > normal[:, 2:])
    height = np.where(peaks, normal[:, 1:-1], 0)
    highest = height.max(axis=1)
    period = _LAGS[0] + np.argmax(height >= _OCTAVE * highest[:, None], axis=1)
    voicing = np.clip((highest - _VOICING[0]) / (_VOICING[1] - _VOICING[0]), 0, 1)
    return ndimage.median_filter(period.astype(np.float64), 5), voicing


def _excitation(period: Samples, voicing: Samples, draw: np.random.Generator) -> Samples:
    """Pulses and noise, of unit power together, for L frames and somewhat longer."""
    middle = np.arange(len(period)) * _HOP + _SIZE / 2
    time = np.arange(len(period) * _HOP + _SIZE)
    rate, share = 1 / np.interp(time, middle, period), np.interp(time, middle, voicing)
    beats = np.floor(np.cumsum(rate) + draw.random())
    pulses = np.diff(beats, prepend=beats[0]) / np.sqrt(rate)
    return np.asarray(np.sqrt(share) * pulses + np.sqrt(1 - share) * draw.standard_normal(len(time)))
