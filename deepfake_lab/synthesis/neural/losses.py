"""Objectives of vocoders: likeness of spectrograms, and what a discriminator says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

_LEAST_POWER = 1e-7  # of a bin, so that silence has a logarithm


class Resolution(NamedTuple):
    """A short-time Fourier transform: its length, hop and Hann window in samples."""

    n_fft: int
    hop: int
    window: int


class MultiResolutionStft(nn.Module):
    """Mean over resolutions of spectral convergence plus the distance of log magnitudes.

    Yamamoto, Song & Kim, "Parallel WaveGAN" (ICASSP 2020), equations 3 to 6; `resolutions` are of its table 1. The
    norms of the convergence go over the whole batch: by itself, the ratio of a silent segment would outweigh speech.

    Args:
        resolutions: each a length, a hop and a window in samples.
    """

    def __init__(
        self, resolutions: Sequence[Sequence[int]] = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    ) -> None:
        super().__init__()
        self.resolutions = [Resolution(*resolution) for resolution in resolutions]

    def forward(self, copied: Tensor, original: Tensor) -> Tensor:
        """The loss, a scalar, of copies ``(B, T)`` of waveforms ``(B, T)``."""
        losses = []
        for resolution in self.resolutions:
            made, true = magnitudes(copied, resolution), magnitudes(original, resolution)
            convergence = torch.linalg.vector_norm(true - made) / torch.linalg.vector_norm(true)
            losses.append(convergence + (torch.log(true) - torch.log(made)).abs().mean())
        return torch.stack(losses).mean()


def magnitudes(wave: Tensor, resolution: Resolution) -> Tensor:
    """Magnitudes ``(B, F, L)`` of waveforms ``(B, T)``."""
    window = torch.hann_window(resolution.window, device=wave.device)
    spectrum = torch.stft(
        wave,
        resolution.n_fft,
        resolution.hop,
        resolution.window,
        window,
        pad_mode="constant",
        return_complex=True,
    )
    return torch.sqrt(torch.clamp(spectrum.real.square() + spectrum.imag.square(), min=_LEAST_POWER))


class Judgement(NamedTuple):
    """What discriminators say of waveforms.

    Attributes:
        scores: of each discriminator, any shape; 1 is real, 0 is made.
        features: outputs of all inner layers of all discriminators.
    """

    scores: list[Tensor]
    features: list[Tensor]


def discriminator_loss(real: Judgement, made: Judgement) -> Tensor:
    """Mean squared distance of scores from what they should be, summed over discriminators.

    Mao et al., "Least squares generative adversarial networks" (ICCV 2017), equation 2, without its halves.
    """
    pairs = zip(real.scores, made.scores, strict=True)
    return torch.stack([(true - 1).square().mean() + false.square().mean() for true, false in pairs]).sum()


def adversarial_loss(made: Judgement) -> Tensor:
    """Mean squared distance of the scores of copies from those of originals, summed over discriminators."""
    return torch.stack([(score - 1).square().mean() for score in made.scores]).sum()


def feature_loss(real: Judgement, made: Judgement) -> Tensor:
    """Mean distance of inner outputs, averaged over layers (Kumar et al., NeurIPS 2019, equation 4, scaled)."""
    pairs = zip(real.features, made.features, strict=True)
    return torch.stack([(true.detach() - false).abs().mean() for true, false in pairs]).mean()
