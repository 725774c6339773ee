"""Log power spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, Normalise, samples_of
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine, Spectrum, power


class Stft(Frontend):
    """Natural logarithm of the power of the short-time Fourier transform, ``(B, T) -> (B, 1, fft_size // 2 + 1, L)``.

    Nothing is averaged away: 257 bins 31 Hz apart, up to half the sampling rate, and 250 frames for 4 s.

    Args:
        hop_ms: distance of frames, in ms.
        window_ms: length of the Hann window, in ms.
        fft_size: length of the Fourier transform, in samples.
        floor: added to the power before the logarithm: some 70 dB below white noise of the signal's level.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: the window is longer than the transform.
    """

    def __init__(
        self,
        hop_ms: float = 16.0,
        window_ms: float = 32.0,
        fft_size: int = 512,
        floor: float = 1e-5,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        self.hop, self.floor = samples_of(hop_ms), floor
        self.spectrum = Spectrum(fft_size, torch.hann_window(samples_of(window_ms)), self.hop, engine)
        self.channels, self.bins = 1, self.post.bins(self.spectrum.bins)
        self.min_samples = self.spectrum.min_samples

    @property
    def frequencies(self) -> Tensor:
        """Middles of the bins ``(fft_size // 2 + 1,)``, in Hz."""
        return self.spectrum.frequencies

    def features(self, wave: Tensor) -> Tensor:
        """Log power spectrograms ``(B, 1, fft_size // 2 + 1, L)`` of waveforms ``(B, T)``."""
        return torch.log(power(*self.spectrum(wave)) + self.floor).unsqueeze(1)
