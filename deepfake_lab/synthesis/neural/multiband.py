"""Multi-band MelGAN: sub-bands at a fraction of the rate, joined by a filter bank."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.synthesis.neural.hifigan import Activation, Upsampler
from deepfake_lab.types import SAMPLE_RATE


class MultiBandMelGan(Upsampler):
    """Makes all sub-bands at once, at their own low rate (Yang et al., "Multi-band MelGAN", SLT 2021).

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        factors: of upsampling; their product times the number of sub-bands is the hop, an even number.
        channels: before the first step; each halves them.
        residual_kernels: width of the convolutions of each parallel stack.
        dilations: of the convolutions in a stack, one after another.
        activation: "leaky_relu" or "snake".
        bands: number of sub-bands.
        rate: at which it works, in Hz.

    Raises:
        LabError: the factors make an odd hop, or the channels cannot be halved as often.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        factors: Sequence[int] = (8, 4, 2),
        channels: int = 192,
        residual_kernels: Sequence[int] = (3,),
        dilations: Sequence[int] = (1, 3, 9),
        activation: Activation = "leaky_relu",
        bands: int = 4,
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
            outputs=bands,
            samples=bands,
        )
        self.bank = FilterBank(bands)

    def joined(self, columns: Tensor) -> Tensor:
        """See `Upsampler.joined`."""
        made: Tensor = self.bank(torch.tanh(columns))
        return made


class FilterBank(nn.Module):
    """Joins sub-bands ``(B, bands, N)`` to waveforms ``(B, bands * N)``: the synthesis of a pseudo-QMF bank.

    Nguyen, "Near-perfect-reconstruction pseudo-QMF banks" (IEEE Trans. Signal Processing 42, 1994), with a prototype
    by the Kaiser window of the 63 taps, cutoff and shape that Multi-band MelGAN has for four sub-bands, scaled for
    other numbers.

    Args:
        bands: number of sub-bands.
    """

    filters: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands
        half = round(7.75 * bands)
        time = torch.arange(-half, half + 1, dtype=torch.float64)
        cutoff = 0.568 / bands  # of half the rate
        window = torch.kaiser_window(2 * half + 1, periodic=False, beta=9.0, dtype=torch.float64)
        prototype = cutoff * torch.sinc(cutoff * time) * window
        band = torch.arange(bands, dtype=torch.float64)[:, None]
        phase = (2 * band + 1) * math.pi / (2 * bands) * time - (-1) ** band * math.pi / 4
        self.register_buffer("filters", (2 * prototype * torch.cos(phase)).float()[:, None], persistent=False)

    def forward(self, columns: Tensor) -> Tensor:
        """Waveforms ``(B, bands * N)`` of sub-bands ``(B, bands, N)``."""
        half = self.filters.shape[-1] // 2
        joined = functional.conv_transpose1d(
            self.bands * columns, self.filters, stride=self.bands, padding=half, output_padding=self.bands - 1
        )
        return joined.squeeze(1)
