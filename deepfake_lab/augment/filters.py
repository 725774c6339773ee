"""Filters: a drawn band, a drawn equaliser, and convolution for whoever brings filters of their own.

Band and equaliser weigh the spectrum of the whole row, with smooth gains: what wraps around its ends is short and
faint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.augment.augmentation import Augmentation, bounds, uniform
from deepfake_lab.types import SAMPLE_RATE

EDGE = 0.1
"""Width of each edge of a band, as a share of its frequency."""
POINTS = 8
"""Frequencies whose gain an equaliser draws: an octave apart, up to half the sample rate."""
_NYQUIST = SAMPLE_RATE / 2


class BandLimit(Augmentation):
    """Takes away what is below a drawn frequency, above another, or both: a third of the rows each.

    The gain is 1 within the band and falls to 0 in half a cosine beyond it.

    Args:
        low_hz: range of the lowest frequency that passes, in Hz.
        high_hz: range of the highest, in Hz.
        p: see `Augmentation`.

    Raises:
        LabError: a range is none.
    """

    def __init__(
        self, low_hz: Sequence[float] = (50, 400), high_hz: Sequence[float] = (2_500, 7_500), p: float = 0.5
    ) -> None:
        super().__init__(p)
        self.low_hz = bounds("low_hz", low_hz, least=1, most=_NYQUIST)
        self.high_hz = bounds("high_hz", high_hz, least=self.low_hz[1], most=_NYQUIST)

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        frequency = _frequencies(batch)
        low, high, kind = uniform(batch, self.low_hz), uniform(batch, self.high_hz), uniform(batch, (0, 3))
        below = (low - frequency) * ((kind >= 1) / (EDGE * low))  # flags on columns, since spectra are long
        above = (frequency - high) * ((kind < 2) / (EDGE * high))
        return _weighted(batch, torch.cos(torch.maximum(below, above).clamp_(0, 1) * (torch.pi / 2)).square())


class Equaliser(Augmentation):
    """Draws the gain at `POINTS` frequencies and joins them by straight lines, in dB over octaves.

    Args:
        gain_db: range of each gain in dB.
        p: see `Augmentation`.

    Raises:
        LabError: the range is none.
    """

    def __init__(self, gain_db: Sequence[float] = (-10, 10), p: float = 0.5) -> None:
        super().__init__(p)
        self.gain_db = bounds("gain_db", gain_db)

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        octave = (POINTS - 1 + torch.log2(_frequencies(batch) / _NYQUIST)).clamp_min(0)
        share = (1 - (octave - torch.arange(POINTS, device=batch.device).unsqueeze(1)).abs()).clamp_min(0)
        log_gain = uniform(batch, self.gain_db, POINTS) * (math.log(10) / 20)
        return _weighted(batch, torch.exp(log_gain @ share))


def convolved(wave: Tensor, taps: Tensor, delay: int = 0) -> Tensor:
    """Powers 1 to N of waveforms ``(B, T)``, each through its filter ``(B, N, K)``, summed: ``(B, T)`` from `delay` on.

    By overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7.3), in blocks that fit the cache.
    """
    samples, reach = wave.shape[-1], taps.shape[-1] - 1
    size = 5 << max(9, (2 * reach // 5).bit_length())  # above 8192, powers of two take twice as long on processors
    hop = size - reach
    power = blocks = functional.pad(wave, (reach - delay, -samples % hop + delay)).unfold(-1, size, hop).contiguous()
    first, *others = torch.fft.rfft(taps, size).unsqueeze(2).unbind(1)
    spectrum = torch.fft.rfft(blocks).mul_(first)
    for response in others:
        power = power * blocks
        spectrum.addcmul_(torch.fft.rfft(power), response)
    filtered: Tensor = torch.fft.irfft(spectrum, size)
    return filtered[..., reach:].flatten(1)[:, :samples]


def _frequencies(batch: Tensor) -> Tensor:
    """Frequencies of the spectrum of rows, in Hz ``(F,)``."""
    frequencies: Tensor = torch.fft.rfftfreq(batch.shape[-1], 1 / SAMPLE_RATE, device=batch.device)
    return frequencies


def _weighted(batch: Tensor, gain: Tensor) -> Tensor:
    """Rows ``(B, T)`` whose spectra are multiplied by gains ``(B, F)``."""
    weighted: Tensor = torch.fft.irfft(torch.fft.rfft(batch).mul_(gain), batch.shape[-1])
    return weighted
