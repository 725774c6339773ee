"""What every front-end is: a layer from waveforms to features whose shape is known beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.post import Post
from deepfake_lab.types import SAMPLE_RATE, LabError

SILENCE = 1e-10
"""Mean square below which a signal counts as silent: -100 dB of full scale, about the rounding of 16-bit audio."""

Normalise = Literal["none", "level"]
"""Scaling of each waveform before analysis: as it is, or to a root mean square of 1.

With "level" features do not depend on the gain, and the floor lies at a fixed distance below the signal. Nothing is
normalised by frequency unless `Post` is told to: the long-term spectrum is a trace of the vocoder. Encoders bring the
bins to one scale, with statistics of the training set (`deepfake_lab.models.encoder.Standardise`).
"""


class Frontend(nn.Module, ABC):
    """Maps waveforms ``(B, T)`` to features ``(B, C, F, L)``, each utterance independently of its batch.

    Args:
        normalise: see `Normalise`.
        post: deltas and normalisation of the features; None leaves them as they are.

    Attributes:
        channels: number C of feature maps.
        bins: number F of bins (frequency bands, cepstral coefficients) of each map, deltas included.
        hop: distance of frames in samples; frame i stands for the time around sample ``i * hop``.
        min_samples: shortest waveform that has features.
    """

    channels: int
    bins: int
    hop: int
    min_samples: int

    def __init__(self, normalise: Normalise = "none", post: Post | None = None) -> None:
        super().__init__()
        self.normalise = normalise
        self.post = post or Post()

    @property
    def frequencies(self) -> Tensor | None:
        """Mean frequencies in Hz of the bins that `features` gives, rising; None where a bin is no band of them."""
        return None

    def frames(self, samples: int) -> int:
        """Number L of frames of a waveform of `samples` samples: whole hops, unless a subclass differs."""
        return samples // self.hop

    @abstractmethod
    def features(self, wave: Tensor) -> Tensor:
        """Features ``(B, C, F, L)``, yet without `post`, of waveforms ``(B, T)`` with ``T >= min_samples``."""

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
        if self.normalise == "level":
            wave = unit_level(wave)
        finished: Tensor = self.post(self.features(wave))
        return finished


def unit_level(wave: Tensor) -> Tensor:
    """Waveforms ``(B, T)`` scaled to a root mean square of 1 each; digital silence stays zero."""
    return wave * torch.rsqrt(wave.square().mean(dim=-1, keepdim=True) + SILENCE)


def pre_emphasised(wave: Tensor, coefficient: float) -> Tensor:
    """Waveforms ``(B, T)`` less `coefficient` times their previous sample; the first sample stays."""
    if coefficient == 0:
        return wave
    return torch.cat([wave[:, :1], torch.add(wave[:, 1:], wave[:, :-1], alpha=-coefficient)], dim=1)


def samples_of(milliseconds: float) -> int:
    """Number of samples in a time at 16 kHz.

    Raises:
        LabError: it is less than one sample.
    """
    samples = round(milliseconds * SAMPLE_RATE / 1e3)
    if samples < 1:
        raise LabError(f"{milliseconds:g} ms is less than one sample at {SAMPLE_RATE} Hz: give a longer time.")
    return samples
