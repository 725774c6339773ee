"""Noise of a drawn colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, bounds, uniform
from deepfake_lab.types import SAMPLE_RATE

_LOWEST_HZ = 20.0  # below it nobody hears anything, and brown noise would have most of its power there


class ColouredNoise(Augmentation):
    """Adds Gaussian noise whose power falls as ``1 / f ** exponent`` from 20 Hz on.

    Args:
        snr_db: range of the ratio of the row's RMS, pauses included, to that of the noise, in dB.
        exponent: range of the slope: 0 is white, 1 pink, 2 brown noise.
        p: see `Augmentation`.

    Raises:
        LabError: a range is none.
    """

    def __init__(self, snr_db: Sequence[float] = (5, 40), exponent: Sequence[float] = (0, 2), p: float = 0.5) -> None:
        super().__init__(p)
        self.snr_db = bounds("snr_db", snr_db)
        self.exponent = bounds("exponent", exponent)

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        frequency = torch.fft.rfftfreq(batch.shape[-1], 1 / SAMPLE_RATE, device=batch.device)
        slope = -uniform(batch, self.exponent) / 2
        amplitude = torch.exp(slope * torch.log(frequency.clamp_min(_LOWEST_HZ))) * (frequency >= _LOWEST_HZ)
        spectrum = torch.view_as_complex(torch.randn(*amplitude.shape, 2, device=batch.device))
        noise = torch.fft.irfft(spectrum.mul_(amplitude), batch.shape[-1])
        return mixed(batch, noise, uniform(batch, self.snr_db))


def mixed(wave: Tensor, noise: Tensor, snr_db: Tensor) -> Tensor:
    """Adds noise to waveforms, both ``(B, T)``, at ratios of their RMS in dB ``(B, 1)``; silence stays silent."""
    size, size_of_noise = (torch.linalg.vector_norm(signal, dim=-1, keepdim=True) for signal in (wave, noise))
    return torch.addcmul(wave, noise, size / size_of_noise.clamp_min(1e-12) * 10 ** (-snr_db / 20))
