"""Log-mel spectrogram."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, samples_of, unit_level
from deepfake_lab.frontends.spectrum import Engine, PowerSpectrum, mel_filters
from deepfake_lab.types import SAMPLE_RATE

Normalise = Literal["none", "level"]
"""Scaling of each waveform before analysis: as it is, or to a root mean square of 1.

With "level" features do not depend on the gain, and the floor lies at a fixed distance below the signal. Nothing is
normalised by frequency: the long-term spectrum is a trace of the vocoder. Encoders bring the bins to one scale, with
statistics of the training set (`deepfake_lab.models.encoder.Standardise`).
"""


class Mel(Frontend):
    """Natural logarithm of mel-filtered power, ``(B, T) -> (B, 1, bins, T // hop)``.

    Defaults give 128 bins and 50 frames a second: 128 x 200 for 4 s. Windows of 40 ms are zero-padded to 64 ms, so that
    even the lowest filters, 23 Hz apart, see bins of their own.

    Args:
        bins: number of mel filters.
        hop_ms: distance of frames, in ms.
        window_ms: length of the Hann window, in ms.
        fft_size: length of the Fourier transform, in samples.
        f_min: lower edge of the lowest filter, in Hz.
        f_max: upper edge of the highest filter, in Hz.
        floor: added to the power before the logarithm. The default lies some 70 dB below white noise of the signal's
            level: 16-bit rounding noise and digital silence look alike, as they should.
        normalise: see `Normalise`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: window, filters and FFT do not fit together.
    """

    filters: Tensor

    def __init__(
        self,
        bins: int = 128,
        hop_ms: float = 20.0,
        window_ms: float = 40.0,
        fft_size: int = 1024,
        f_min: float = 0.0,
        f_max: float = 8000.0,
        floor: float = 1e-6,
        normalise: Normalise = "level",
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        self.channels, self.bins, self.floor, self.normalise = 1, bins, floor, normalise
        self.spectrum = PowerSpectrum(fft_size, samples_of(window_ms), samples_of(hop_ms), engine)
        self.min_samples = self.spectrum.min_samples
        self.register_buffer("filters", mel_filters(bins, fft_size, SAMPLE_RATE, f_min, f_max), persistent=False)

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: whole hops."""
        return self.spectrum.frames(samples)

    def features(self, wave: Tensor) -> Tensor:
        """Log-mel spectrograms ``(B, 1, bins, L)`` of waveforms ``(B, T)``."""
        if self.normalise == "level":
            wave = unit_level(wave)
        return torch.log(self.filters @ self.spectrum(wave) + self.floor).unsqueeze(1)
