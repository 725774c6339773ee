"""Log-mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, Normalise, samples_of
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine, FilterBank, Spectrum, mel_filters, power
from deepfake_lab.types import SAMPLE_RATE


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
        trainable: learn the filters, see `deepfake_lab.frontends.spectrum.FilterBank`.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: window, filters and FFT do not fit together.
    """

    def __init__(
        self,
        bins: int = 128,
        hop_ms: float = 20.0,
        window_ms: float = 40.0,
        fft_size: int = 1024,
        f_min: float = 0.0,
        f_max: float = 8000.0,
        floor: float = 1e-6,
        trainable: bool = False,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        self.hop, self.floor = samples_of(hop_ms), floor
        self.spectrum = Spectrum(fft_size, torch.hann_window(samples_of(window_ms)), self.hop, engine)
        self.filters = FilterBank(mel_filters(bins, fft_size, SAMPLE_RATE, f_min, f_max), trainable)
        self.channels, self.bins, self.min_samples = 1, self.post.bins(bins), self.spectrum.min_samples

    @property
    def frequencies(self) -> Tensor:
        """Mean frequencies of what the filters pass ``(bins,)``, in Hz."""
        return self.filters.frequencies

    def features(self, wave: Tensor) -> Tensor:
        """Log-mel spectrograms ``(B, 1, bins, L)`` of waveforms ``(B, T)``."""
        filtered: Tensor = self.filters(power(*self.spectrum(wave)))
        return torch.log(filtered + self.floor).unsqueeze(1)
