"""Phase spectra: what power spectra, and so cepstra, throw away."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend, Normalise, samples_of
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine, Spectrum, power
from deepfake_lab.types import LabError

PhaseKind = Literal["instantaneous_frequency", "modified_group_delay"]
"""Derivative of the phase by time, or by frequency. Neither needs the phase itself, which jumps and has no zero."""


class Phase(Frontend):
    """Instantaneous frequency deviation or modified group delay, ``(B, T) -> (B, 1, fft_size // 2 + 1, T // hop)``.

    Instantaneous frequency deviation d is how far from the middle of its bin a bin oscillates, from spectra X with the
    window and D with its derivative: ``d = -Im(D / X)``. It is given as ``d / sqrt(d^2 + s^2)``, s being the typical
    deviation of white noise, which makes white noise uniform within -1 and 1 where d itself has no variance. Bins
    without power are 0.

    Modified group delay is ``t = Re(Y / X) |X|^2 / S^(2 gamma)``, given as ``sign(t) |t|^alpha``, with Y the spectrum
    of the samples times their time since the window began (its length counting as 1) and S the cepstrally smoothed
    magnitude, in the place of the magnitude whose zeros make the group delay spiky.

    Args:
        kind: see `PhaseKind`.
        hop_ms: distance of frames, in ms.
        window_ms: length of the Hann window, in ms.
        fft_size: length of the Fourier transform, in samples.
        alpha: exponent of the modified group delay.
        gamma: half the exponent of its smoothed magnitude.
        lifter: number of cepstral coefficients that smooth it.
        floor: power of a bin that counts as none: some 70 dB below white noise of the signal's level.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: the window is longer than the transform, or the lifter longer than the cepstrum.

    Source:
        Auger and Flandrin, "Improving the readability of time-frequency and time-scale representations by the
        reassignment method", 1995; Hegde, Murthy and Gadde, "Significance of the modified group delay feature in
        speech recognition", 2007.
    """

    def __init__(
        self,
        kind: PhaseKind = "instantaneous_frequency",
        hop_ms: float = 16.0,
        window_ms: float = 32.0,
        fft_size: int = 512,
        alpha: float = 0.4,
        gamma: float = 0.9,
        lifter: int = 30,
        floor: float = 1e-5,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        self.hop, self.kind, self.alpha, self.gamma, self.floor = samples_of(hop_ms), kind, alpha, gamma, floor
        window = torch.hann_window(samples_of(window_ms))
        time = torch.arange(len(window)) / len(window)
        slope = math.pi / len(window) * torch.sin(2 * math.pi * time)
        self.spread = float(slope.norm() / window.norm())
        other = slope if kind == "instantaneous_frequency" else time * window
        self.spectrum = Spectrum(fft_size, window, self.hop, engine)
        self.other = Spectrum(fft_size, other, self.hop, engine)
        self.smooth = _Smoothing(self.spectrum.bins, lifter) if kind == "modified_group_delay" else None
        self.channels, self.bins = 1, self.post.bins(self.spectrum.bins)
        self.min_samples = self.spectrum.min_samples

    @property
    def frequencies(self) -> Tensor:
        """Middles of the bins ``(fft_size // 2 + 1,)``, in Hz."""
        return self.spectrum.frequencies

    def features(self, wave: Tensor) -> Tensor:
        """Phase features ``(B, 1, fft_size // 2 + 1, L)`` of waveforms ``(B, T)``."""
        real, imaginary = self.spectrum(wave)
        other_real, other_imaginary = self.other(wave)
        if self.smooth is None:
            rotation: Tensor = other_real * imaginary - other_imaginary * real
            rest = self.spread * (power(real, imaginary) + self.floor)
            return (rotation * torch.rsqrt(power(rotation, rest))).unsqueeze(1)
        smoothed: Tensor = self.smooth(torch.log(power(real, imaginary) + self.floor))
        delay = (real * other_real + imaginary * other_imaginary) * torch.exp(-self.gamma * smoothed)
        return signed_power(delay, self.alpha).unsqueeze(1)


class _Smoothing(nn.Module):
    """Keeps the first cepstral coefficients of a log spectrum: two cosine transforms as one low-rank product."""

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, bins: int, lifter: int) -> None:
        super().__init__()
        if not 1 <= lifter <= bins:
            raise LabError(f"lifter={lifter}: there are {bins} cepstral coefficients. Choose from 1 to {bins}.")
        period = 2 * (bins - 1)
        angle = 2 * math.pi / period * torch.outer(torch.arange(lifter), torch.arange(bins)).double()
        once = torch.full((bins,), 2.0, dtype=torch.float64)  # all but the outermost occur twice in the full spectrum
        once[0] = once[-1] = 1.0
        self.register_buffer("analysis", (once * torch.cos(angle) / period).float(), persistent=False)
        self.register_buffer("synthesis", (torch.cos(angle).T * once[:lifter]).float().contiguous(), persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Smoothed log spectra ``(B, bins, L)`` of log spectra ``(B, bins, L)``."""
        return self.synthesis @ (self.analysis @ spectrum)


def signed_power(values: Tensor, exponent: float, around: float = 1e-4) -> Tensor:
    """``sign(v) |v|^exponent``, but linear around zero, where the slope of exponents below 1 would be infinite."""
    return values * (values.square() + around**2).pow((exponent - 1) / 2)
