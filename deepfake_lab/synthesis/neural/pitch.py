"""Fundamental frequency from the autocorrelation, on any device."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.types import SAMPLE_RATE

LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 450.0

_FRAME_S = 0.064  # nearly four periods of the lowest voice
_VOICED = 0.5  # least correlation of a frame with itself one period later
_OCTAVE_COST = 0.03  # so that one period is preferred to two
_SILENT = 1e-6  # mean power


def fundamental(wave: Tensor, hop: int, rate: int = SAMPLE_RATE) -> Tensor:
    """Fundamental frequency, by the autocorrelation of windowed frames over that of the window (Boersma, 1993).

    Args:
        wave: waveforms ``(B, T)``.
        hop: distance of frames in samples.
        rate: of the samples, in Hz.

    Returns:
        Hz ``(B, T // hop + 1)``, frame l centred on ``l * hop``; 0 where nothing is periodic.
    """
    size = 2 * round(_FRAME_S / 2 * rate)
    frames = functional.pad(wave, (size // 2, size // 2)).unfold(-1, size, hop)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    window = torch.hann_window(size, device=wave.device)
    shortest, longest = int(rate / HIGHEST_HZ), round(rate / LOWEST_HZ)
    power = _autocorrelation(frames * window, longest + 1)
    relative = power / power[..., :1].clamp(min=1e-9) / (_autocorrelation(window, longest + 1) / window.square().sum())
    lags = torch.arange(shortest, longest + 1, device=wave.device)
    middle = relative[..., shortest : longest + 1]
    before, after = relative[..., shortest - 1 : longest], relative[..., shortest + 1 :]
    peak = (middle >= before) & (middle > after)  # the slope down from lag 0 is no period
    worth = torch.where(peak, middle - _OCTAVE_COST * torch.log2(lags / shortest), -1.0)
    best = worth.argmax(dim=-1, keepdim=True)
    left, top, right = (values.gather(-1, best) for values in (before, middle, after))
    offset = 0.5 * (left - right) / (left - 2 * top + right).clamp(max=-1e-9)  # of the parabola through three points
    period = (lags[best] + offset.clamp(-0.5, 0.5)).squeeze(-1)
    voiced = (top.squeeze(-1) > _VOICED) & peak.any(dim=-1) & (frames.square().mean(dim=-1) > _SILENT)
    pitch: Tensor = torch.where(voiced, rate / period, 0.0)
    return pitch


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """Autocorrelation ``(..., lags + 1)`` of frames ``(..., N)``."""
    spectrum = torch.fft.rfft(frames, 2 * frames.shape[-1])
    power: Tensor = torch.fft.irfft(spectrum.abs().square(), 2 * frames.shape[-1])
    return power[..., : lags + 1]
