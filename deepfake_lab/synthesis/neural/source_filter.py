"""A neural source-filter vocoder: harmonics and noise, through filters that a network makes for every frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.synthesis.neural.convnext import ConvNeXt
from deepfake_lab.synthesis.neural.generator import Generator, LogMel
from deepfake_lab.synthesis.neural.pitch import fundamental
from deepfake_lab.synthesis.neural.vocos import LOUDEST
from deepfake_lab.types import SAMPLE_RATE


class SourceFilter(Generator):
    """Sines at all multiples of the fundamental frequency, and Gaussian noise, each filtered, added up.

    Harmonic excitation and noise are those of the neural source-filter model (Wang, Takaki & Yamagishi, IEEE/ACM TASLP
    28, 2020, section III); the filters change with the frames as in DDSP (Engel et al., ICLR 2020), and that of the
    harmonics turns phases too. The noise is torch's: seed it.

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram and of the filters, in samples.
        hop: distance of frames, in samples.
        width: channels of the network.
        layers: number of its blocks.
        expansion: how many times wider a block is inside.
        rate: at which it works, in Hz.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        hop: int = 128,
        width: int = 128,
        layers: int = 4,
        expansion: int = 3,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(LogMel(n_mels, n_fft, hop, rate))
        self.network = ConvNeXt(n_mels + 2, width, layers, expansion, 3 * (n_fft // 2 + 1))
        with torch.no_grad():
            self.network.head.bias.fill_(-3.0)  # excitations have the power 1, speech about e^-6
            self.network.head.bias[n_fft // 2 + 1 : n_fft + 2] = 0  # phases

    def analyse(self, wave: Tensor) -> Tensor:
        """Log-mel spectrogram and, last, the fundamental frequency in Hz; see `Generator.analyse`."""
        return torch.cat([self.mel(wave), fundamental(wave, self.hop, self.mel.rate).unsqueeze(1)], dim=1)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        mel, pitch = features[:, :-1], features[:, -1:]
        voiced = (pitch > 0).float()
        height = torch.log(pitch.clamp(min=1) / 150) * voiced
        log_harmonic, phase, log_noise = self.network(torch.cat([mel, voiced, height], dim=1)).chunk(3, dim=1)
        harmonics = harmonic_source(pitch.squeeze(1), self.hop, self.mel.rate)
        noise = torch.randn_like(harmonics)
        spectrum = self._spectrum(harmonics) * torch.polar(log_harmonic.exp().clamp(max=LOUDEST), phase)
        spectrum = spectrum + self._spectrum(noise) * log_noise.exp().clamp(max=LOUDEST)
        return torch.istft(spectrum, self.mel.n_fft, self.hop, window=self.mel.window, length=harmonics.shape[-1])

    def _spectrum(self, wave: Tensor) -> Tensor:
        return torch.stft(
            wave, self.mel.n_fft, self.hop, window=self.mel.window, pad_mode="constant", return_complex=True
        )


def harmonic_source(pitch: Tensor, hop: int, rate: int = SAMPLE_RATE) -> Tensor:
    """Cosines at all multiples of the fundamental frequency below 8 kHz, of the power 1 together.

    Args:
        pitch: fundamental frequency in Hz ``(B, L + 1)``, 0 where there is none.
        hop: samples from one frame to the next.
        rate: of the samples, in Hz.

    Returns:
        Waveforms ``(B, L * hop)``, silent where there is no fundamental.
    """
    nearest = functional.pad(pitch.repeat_interleave(hop, dim=-1), (-(hop // 2), -(hop - hop // 2)))
    phase = torch.cumsum(nearest.double() / rate, dim=-1).frac().mul(2 * math.pi).float()
    number = torch.floor(SAMPLE_RATE / 2 / nearest.clamp(min=1.0))
    below = torch.sin(phase / 2)
    # the sum of cos(k phase) for k from 1 to n is (sin((n + 1/2) phase) / sin(phase / 2) - 1) / 2 (Dirichlet's kernel)
    safe = torch.where(below.abs() < 1e-4, 1.0, below)
    cosines = torch.where(below.abs() < 1e-4, number, (torch.sin((number + 0.5) * phase) / safe - 1) / 2)
    return torch.where(nearest > 0, cosines * torch.sqrt(2 / number), 0.0)
