"""What every generator of a neural vocoder offers: a waveform to a copy of it, through features of its frames."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import melscale_fbanks, resample

from deepfake_lab.types import SAMPLE_RATE, LabError

Likeness = Callable[[Tensor, Tensor], Tensor]
"""How unlike copies ``(B, T)`` are their originals ``(B, T)``: a scalar."""

_FLOOR = 1e-5  # of the amplitude before the logarithm, as in HiFi-GAN
_ZERO_CROSSINGS = 64  # of the resampling filter: the lab's 8 kHz of band pass but for their last 200 Hz
_LEAST_LEVEL = 1e-4  # of a frame, -80 dB


class LogMel(nn.Module):
    """Logarithm of mel-filtered amplitudes, ``(B, T) -> (B, n_mels, T // hop + 1)``; frame l is centred on ``l * hop``.

    Args:
        n_mels: number of mel filters.
        n_fft: Hann window in samples.
        hop: distance of frames in samples.
        rate: of the samples, in Hz.
        slaney: filters of equal area, evenly spaced on Slaney's scale as in librosa; else of equal height, on HTK's.
        top_hz: upper end of the last filter.

    Raises:
        LabError: there are more filters than the window tells apart, the window is shorter than two hops, or the rate
            is below that of the lab.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        n_mels: int,
        n_fft: int,
        hop: int,
        rate: int = SAMPLE_RATE,
        *,
        slaney: bool = False,
        top_hz: float = SAMPLE_RATE / 2,
    ) -> None:
        super().__init__()
        if rate < SAMPLE_RATE:
            raise LabError(f"vocoder.rate={rate}: copies would lose a part of the band. Give {SAMPLE_RATE} or more.")
        if n_fft < 2 * hop:
            raise LabError(f"vocoder.n_fft={n_fft}: windows must overlap. Give two hops ({2 * hop}) or more.")
        self.n_fft, self.hop, self.rate = n_fft, hop, rate
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", _filters(n_mels, n_fft, rate, slaney, top_hz), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Log-mel spectrograms of waveforms ``(B, T)``, which are silent before and after."""
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        return torch.log(torch.clamp(self.filters @ spectrum.abs(), min=_FLOOR))

    def level(self, log_mel: Tensor) -> Tensor:
        """RMS of each frame, ``(B, n_mels, L) -> (B, 1, L)``, were the spectrum flat within each filter."""
        widths = self.filters.sum(dim=1)[:, None]
        energy = (torch.exp(2 * log_mel) / widths).sum(dim=1, keepdim=True)
        power = 2 * energy / (self.n_fft * self.window.square().sum())
        return torch.sqrt(power).clamp(min=_LEAST_LEVEL)


def _filters(n_mels: int, n_fft: int, rate: int, slaney: bool, top_hz: float) -> Tensor:
    """Triangular mel filters ``(n_mels, n_fft // 2 + 1)``."""
    norm, scale = ("slaney", "slaney") if slaney else (None, "htk")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchaudio warns of empty filters, refused below
        filters: Tensor = melscale_fbanks(n_fft // 2 + 1, 0.0, top_hz, n_mels, rate, norm, scale).T
    if not filters.any(dim=1).all():
        raise LabError(f"vocoder.n_mels={n_mels}: too many for n_fft={n_fft}: some would hear nothing. Give fewer.")
    return filters


class Generator(nn.Module, ABC):
    """Copies speech: `analyse` keeps what a vocoder is told, `generate` makes a waveform of that alone.

    A generator may work at another rate than the lab's 16 kHz, as published vocoders do at 22.05 or 24 kHz: what it
    hears and makes is resampled, so that the artefacts of its steps lie at other frequencies.

    Args:
        mel: spectrogram that it is told, at the generator's rate.
    """

    def __init__(self, mel: LogMel) -> None:
        super().__init__()
        self.mel = mel

    @property
    def hop(self) -> int:
        """Samples from one frame to the next, at the generator's rate."""
        return self.mel.hop

    def forward(self, wave: Tensor) -> Tensor:
        """Copies ``(B, T)`` of waveforms ``(B, T)`` at 16 kHz, of any length, aligned with them."""
        with torch.no_grad():
            features = self.analyse(self.heard(wave))
        return self.returned(self.generate(features), wave.shape[-1])

    def objective(self, original: Tensor, likeness: Likeness) -> tuple[Tensor, dict[str, Tensor]]:
        """What training is after.

        Args:
            original: speech ``(B, T)`` at 16 kHz.
            likeness: of copies and originals.

        Returns:
            Copies ``(B, T)``, for a discriminator to judge, and the terms of the loss by name.
        """
        copied = self(original)
        return copied, {"stft": likeness(copied, original)}

    def heard(self, wave: Tensor) -> Tensor:
        """Waveforms ``(B, L * hop)`` at the generator's rate, of ``(B, T)`` at 16 kHz."""
        there: Tensor = resample(wave, SAMPLE_RATE, self.mel.rate, _ZERO_CROSSINGS)
        return functional.pad(there, (0, -there.shape[-1] % self.hop))

    def returned(self, made: Tensor, length: int) -> Tensor:
        """Waveforms ``(B, length)`` at 16 kHz, of ``(B, L * hop)`` at the generator's rate."""
        back: Tensor = resample(made, self.mel.rate, SAMPLE_RATE, _ZERO_CROSSINGS)
        return back[..., :length]

    def analyse(self, wave: Tensor) -> Tensor:
        """Features ``(B, C, L + 1)`` of waveforms ``(B, L * hop)`` at the generator's rate."""
        features: Tensor = self.mel(wave)
        return features

    def centred(self, wave: Tensor) -> Tensor:
        """Of ``(B, (L + 1) * hop)``, where each frame has become a hop of samples, those around the frames' centres."""
        return wave[..., self.hop // 2 : -self.hop // 2]

    @abstractmethod
    def generate(self, features: Tensor) -> Tensor:
        """Waveforms ``(B, L * hop)`` of features ``(B, C, L + 1)``; frame l is centred on sample ``l * hop``."""
