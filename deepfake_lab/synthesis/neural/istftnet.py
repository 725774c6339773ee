"""iSTFTNet: a few steps of upsampling, then a short inverse Fourier transform."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.synthesis.neural.hifigan import Activation, Upsampler
from deepfake_lab.synthesis.neural.vocos import LOUDEST
from deepfake_lab.types import SAMPLE_RATE


class IstftNet(Upsampler):
    """HiFi-GAN whose last steps are an inverse STFT of short windows (Kaneko et al., "iSTFTNet", ICASSP 2022).

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        factors: of upsampling; their product times a quarter of the short window is the hop, an even number.
        channels: before the first step; each halves them.
        residual_kernels: width of the convolutions of each parallel stack.
        dilations: of the convolutions in a stack, one after another.
        activation: "leaky_relu" or "snake".
        window: length of the short windows in samples, a multiple of four.
        rate: at which it works, in Hz.

    Raises:
        LabError: the factors make an odd hop, or the channels cannot be halved as often.
    """

    window: Tensor

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        factors: Sequence[int] = (8, 8),
        channels: int = 128,
        residual_kernels: Sequence[int] = (3, 7),
        dilations: Sequence[int] = (1, 3, 5),
        activation: Activation = "leaky_relu",
        window: int = 16,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            n_mels=n_mels,
            n_fft=n_fft,
            factors=factors,
            channels=channels,
            residual_kernels=residual_kernels,
            dilations=dilations,
            activation=activation,
            rate=rate,
            outputs=window + 2,
            samples=window // 4,
        )
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def joined(self, columns: Tensor) -> Tensor:
        """See `Upsampler.joined`."""
        size = len(self.window)
        log_magnitude, phase = functional.pad(columns, (1, 0), mode="replicate").chunk(2, dim=1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=LOUDEST), math.pi * torch.sin(phase))
        return torch.istft(spectrum, size, size // 4, window=self.window)
