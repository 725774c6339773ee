"""Mel-frequency cepstral coefficients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, Normalise
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine
from deepfake_lab.types import LabError


class Mfcc(Frontend):
    """Orthonormal DCT-II of the log-mel spectrogram, ``(B, T) -> (B, 1, coefficients, T // hop)``.

    Defaults give 40 coefficients and 62.5 frames a second: 40 x 250 for 4 s.

    Args:
        coefficients: number of cepstral coefficients, c0 (the level) included.
        mels: number of mel filters.
        hop_ms: distance of frames, in ms.
        window_ms: length of the Hann window, in ms.
        fft_size: length of the Fourier transform, in samples.
        f_min: lower edge of the lowest filter, in Hz.
        f_max: upper edge of the highest filter, in Hz.
        floor: added to the power before the logarithm, see `Mel`.
        trainable: learn the filters, see `deepfake_lab.frontends.spectrum.FilterBank`.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: window, filters, coefficients and FFT do not fit together.

    Source:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
    """

    cosines: Tensor

    def __init__(
        self,
        coefficients: int = 40,
        mels: int = 80,
        hop_ms: float = 16.0,
        window_ms: float = 32.0,
        fft_size: int = 512,
        f_min: float = 0.0,
        f_max: float = 8000.0,
        floor: float = 1e-6,
        trainable: bool = False,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        if coefficients > mels:
            raise LabError(f"coefficients={coefficients} exceed mels={mels}: raise mels or lower coefficients.")
        self.mel = Mel(mels, hop_ms, window_ms, fft_size, f_min, f_max, floor, trainable, engine=engine)
        self.channels, self.bins = 1, self.post.bins(coefficients)
        self.hop, self.min_samples = self.mel.hop, self.mel.min_samples
        self.register_buffer("cosines", dct_matrix(coefficients, mels), persistent=False)

    def features(self, wave: Tensor) -> Tensor:
        """Coefficients ``(B, 1, coefficients, L)`` of waveforms ``(B, T)``."""
        return self.cosines @ self.mel.features(wave)


def dct_matrix(coefficients: int, points: int) -> Tensor:
    """First rows of the orthonormal DCT-II of so many points, ``(coefficients, points)``, float32."""
    order = torch.arange(coefficients, dtype=torch.float64).unsqueeze(1)
    phase = torch.arange(points, dtype=torch.float64) + 0.5
    matrix = torch.cos(math.pi / points * order * phase) * math.sqrt(2 / points)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
