"""What every front-end is: a layer from waveforms to features whose shape is known beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from deepfake_lab.types import SAMPLE_RATE, LabError

SILENCE = 1e-10
"""Mean square below which a signal counts as silent: -100 dB of full scale, about the rounding of 16-bit audio."""


class Frontend(nn.Module, ABC):
    """Maps waveforms ``(B, T)`` to features ``(B, C, F, L)``, each utterance independently of its batch.

    Attributes:
        channels: number C of feature maps.
        bins: number F of bins (frequency bands, cepstral coefficients) of each map.
        min_samples: shortest waveform that has features.
    """

    channels: int
    bins: int
    min_samples: int

    @abstractmethod
    def frames(self, samples: int) -> int:
        """Number L of frames of a waveform of `samples` samples."""

    @abstractmethod
    def features(self, wave: Tensor) -> Tensor:
        """Features ``(B, C, F, L)`` of waveforms ``(B, T)`` with ``T >= min_samples``."""

    def forward(self, wave: Tensor) -> Tensor:
        """Features of a batch.

        Args:
            wave: waveforms ``(B, T)``, float32, 16 kHz.

        Returns:
            Features ``(B, C, F, frames(T))``, float32.

        Raises:
            LabError: the waveforms are shorter than `min_samples`.
        """
        if wave.shape[-1] < self.min_samples:
            raise LabError(
                f"{type(self).__name__}: {wave.shape[-1]} samples are too few, it needs at least {self.min_samples} "
                f"({1e3 * self.min_samples / SAMPLE_RATE:g} ms). Repeat the signal up to that length, as Detector does."
            )
        return self.features(wave)


def unit_level(wave: Tensor) -> Tensor:
    """Waveforms ``(B, T)`` scaled to a root mean square of 1 each; digital silence stays zero."""
    return wave * torch.rsqrt(wave.square().mean(dim=-1, keepdim=True) + SILENCE)


def samples_of(milliseconds: float) -> int:
    """Number of samples in a time at 16 kHz.

    Raises:
        LabError: it is less than one sample.
    """
    samples = round(milliseconds * SAMPLE_RATE / 1e3)
    if samples < 1:
        raise LabError(f"{milliseconds:g} ms is less than one sample at {SAMPLE_RATE} Hz: give a longer time.")
    return samples
