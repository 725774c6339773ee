"""What every generator of a neural vocoder offers: a waveform to a copy of it, through features of its frames."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.types import SAMPLE_RATE, LabError

_FLOOR = 1e-5  # of the amplitude before the logarithm, as in HiFi-GAN


class LogMel(nn.Module):
    """Logarithm of mel-filtered amplitudes, ``(B, T) -> (B, n_mels, T // hop + 1)``; frame l is centred on ``l * hop``.

    Args:
        n_mels: number of mel filters, from 0 to 8 kHz.
        n_fft: Hann window in samples at 16 kHz.
        hop: distance of frames in samples.

    Raises:
        LabError: there are more filters than the window tells apart, or the window is shorter than two hops.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, n_mels: int, n_fft: int, hop: int) -> None:
        super().__init__()
        if n_fft < 2 * hop:
            raise LabError(f"vocoder.n_fft={n_fft}: windows must overlap. Give two hops ({2 * hop}) or more.")
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", _filters(n_mels, n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Log-mel spectrograms of waveforms ``(B, T)``, which are silent before and after."""
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        return torch.log(torch.clamp(self.filters @ spectrum.abs(), min=_FLOOR))


def _filters(n_mels: int, n_fft: int) -> Tensor:
    """Triangular mel filters ``(n_mels, n_fft // 2 + 1)``."""
    frequencies = torch.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    edges = 700 * (10 ** (torch.linspace(0, _mel(SAMPLE_RATE / 2), n_mels + 2) / 2595) - 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.clamp(torch.minimum(rising, falling), min=0)
    if not filters.any(dim=1).all():
        raise LabError(f"vocoder.n_mels={n_mels}: too many for n_fft={n_fft}: some would hear nothing. Give fewer.")
    return filters


def _mel(frequency: float) -> float:
    return 2595 * float(torch.log10(torch.tensor(1 + frequency / 700, dtype=torch.float64)))


class Generator(nn.Module, ABC):
    """Copies speech: `analyse` keeps what a vocoder is told, `generate` makes a waveform of that alone.

    Args:
        mel: spectrogram that it is told.
    """

    def __init__(self, mel: LogMel) -> None:
        super().__init__()
        self.mel = mel

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.mel.hop

    def forward(self, wave: Tensor) -> Tensor:
        """Copies ``(B, T)`` of waveforms ``(B, T)`` at 16 kHz, of any length, aligned with them."""
        length = wave.shape[-1]
        with torch.no_grad():
            features = self.analyse(functional.pad(wave, (0, -length % self.hop)))
        return self.generate(features)[..., :length]

    def analyse(self, wave: Tensor) -> Tensor:
        """Features ``(B, C, L + 1)`` of waveforms ``(B, L * hop)``."""
        features: Tensor = self.mel(wave)
        return features

    @abstractmethod
    def generate(self, features: Tensor) -> Tensor:
        """Waveforms ``(B, L * hop)`` of features ``(B, C, L + 1)``; frame l is centred on sample ``l * hop``."""
