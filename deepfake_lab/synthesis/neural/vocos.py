"""Vocos: magnitudes and phases by a network, the waveform by an inverse Fourier transform."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.synthesis.neural.convnext import ConvNeXt
from deepfake_lab.synthesis.neural.generator import Generator, LogMel
from deepfake_lab.types import SAMPLE_RATE

LOUDEST = 100.0
"""Largest magnitude that a bin of a spectrum gets, so that no exponential runs away."""


class Vocos(Generator):
    """ConvNeXt blocks at the rate of frames and an inverse STFT head (Siuzdak, ICLR 2024).

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram and of the head, in samples.
        hop: distance of frames, in samples.
        width: channels of the blocks.
        layers: number of blocks.
        expansion: how many times wider a block is inside.
        rate: at which it works, in Hz.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        hop: int = 256,
        width: int = 192,
        layers: int = 5,
        expansion: int = 3,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(LogMel(n_mels, n_fft, hop, rate))
        self.network = ConvNeXt(n_mels, width, layers, expansion, n_fft + 2)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        log_magnitude, phase = self.network(features).chunk(2, dim=1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=LOUDEST), phase)
        length = (features.shape[-1] - 1) * self.hop
        return torch.istft(spectrum, self.mel.n_fft, self.hop, window=self.mel.window, length=length)
