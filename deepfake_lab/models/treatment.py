"""Treatments that take cues away which are not about synthesis, before a detector hears anything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepfake_lab.types import SAMPLE_RATE, LabError

_MOST_GAIN = 1e3  # 60 dB; silence stays silence
_EDGE = 0.1  # width of each edge of the band, as a share of its frequency


class Treatment(nn.Module):
    """Equalises the level of windows and limits their band; says whether quiet edges are to be cut off.

    It is a part of the detector, so that a recording is treated alike in training, in evaluation and ever after. Only
    `trim` is not done here but where windows are cut, since it changes the length of the audio.

    Args:
        trim: leave out the quiet edges of every recording.
        level_db: RMS level that each window gets, in dB of full scale; None leaves it alone.
        band_hz: lowest and highest frequency that pass, in Hz; None passes all.

    Raises:
        LabError: the band is none, or lies beyond half the sample rate.
    """

    def __init__(
        self, *, trim: bool = False, level_db: float | None = None, band_hz: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if band_hz is not None and not (len(band_hz) == 2 and 0 <= band_hz[0] < band_hz[1] <= SAMPLE_RATE / 2):
            limit = f"between 0 and {SAMPLE_RATE // 2} Hz, in order"
            raise LabError(f"treatment.band_hz={list(band_hz)}: give two frequencies {limit}.")
        self.trim = trim
        self.level_db = level_db
        self.band_hz = None if band_hz is None else (float(band_hz[0]), float(band_hz[1]))

    def forward(self, wave: Tensor) -> Tensor:
        """Treats windows.

        Args:
            wave: waveforms ``(B, T)``, float32, 16 kHz.

        Returns:
            Waveforms of the same shape.
        """
        if self.band_hz is not None:
            wave = self._limit_band(wave, *self.band_hz)
        if self.level_db is not None:
            # clamped before the root, whose gradient is infinite at silence
            rms = wave.square().mean(dim=-1, keepdim=True).clamp_min(1e-24).sqrt()
            wave = wave * (10 ** (self.level_db / 20) / rms).clamp_max(_MOST_GAIN)
        return wave

    def _limit_band(self, wave: Tensor, low: float, high: float) -> Tensor:
        """Weighs the spectrum of each window by 1 within the band, falling to 0 in half a cosine beyond it."""
        samples = wave.shape[-1]
        frequency = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE, device=wave.device)
        below = (low - frequency) / max(_EDGE * low, 1e-6) if low else torch.zeros_like(frequency)
        above = (frequency - high) / (_EDGE * high)
        gain = torch.cos(torch.maximum(below, above).clamp(0, 1) * torch.pi / 2).square()
        limited: Tensor = torch.fft.irfft(torch.fft.rfft(wave) * gain, samples)
        return limited
