"""Linear-frequency cepstral coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, Normalise, pre_emphasised, samples_of
from deepfake_lab.frontends.mfcc import dct_matrix
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine, FilterBank, Spectrum, linear_filters, power
from deepfake_lab.types import SAMPLE_RATE, LabError


class Lfcc(Frontend):
    """Orthonormal DCT-II of the log10 of linearly filtered power, ``(B, T) -> (B, 1, coefficients, T // hop)``.

    The first coefficient, which says the level of the filters up to `f_max`, is replaced by the log10 of the energy of
    the whole spectrum. Defaults are those of the LFCC-LCNN baseline of ASVspoof 2021: with `Post(deltas=2)`, as
    configured, 60 x 400 for 4 s. Unlike there waveforms are brought to one level first, which recordings
    of different origin do not share (``normalise=none`` leaves it), and ends are padded by reflection, not zeros.

    Args:
        coefficients: number of cepstral coefficients, the energy included.
        filters: number of triangular filters.
        hop_ms: distance of frames, in ms.
        window_ms: length of the Hamming window, in ms.
        fft_size: length of the Fourier transform, in samples.
        f_min: lower edge of the lowest filter, in Hz.
        f_max: upper edge of the highest filter, in Hz.
        pre_emphasis: how much of the previous sample is taken from each.
        floor: added to the power before the logarithm: some 75 dB below white noise of the signal's level.
        trainable: learn the filters, see `deepfake_lab.frontends.spectrum.FilterBank`.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `deepfake_lab.frontends.spectrum.Engine`.

    Raises:
        LabError: window, filters, coefficients and FFT do not fit together.

    Source:
        Sahidullah, Kinnunen and Hanilçi, "A comparison of features for synthetic speech detection", 2015; parameters of
        Wang and Yamagishi, "A comparative study on recent neural spoofing countermeasures", 2021.
    """

    cosines: Tensor

    def __init__(
        self,
        coefficients: int = 20,
        filters: int = 20,
        hop_ms: float = 10.0,
        window_ms: float = 20.0,
        fft_size: int = 1024,
        f_min: float = 0.0,
        f_max: float = 4000.0,
        pre_emphasis: float = 0.97,
        floor: float = 1e-4,
        trainable: bool = False,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        if coefficients > filters:
            raise LabError(
                f"coefficients={coefficients} exceed filters={filters}: raise filters or lower coefficients."
            )
        self.hop, self.pre_emphasis, self.floor = samples_of(hop_ms), pre_emphasis, floor
        self.spectrum = Spectrum(fft_size, torch.hamming_window(samples_of(window_ms)), self.hop, engine)
        self.filters = FilterBank(linear_filters(filters, fft_size, SAMPLE_RATE, f_min, f_max), trainable)
        self.register_buffer("cosines", dct_matrix(coefficients, filters)[1:], persistent=False)
        self.channels, self.bins, self.min_samples = 1, self.post.bins(coefficients), self.spectrum.min_samples

    def features(self, wave: Tensor) -> Tensor:
        """Log energy and coefficients ``(B, 1, coefficients, L)`` of waveforms ``(B, T)``."""
        spectrum = power(*self.spectrum(pre_emphasised(wave, self.pre_emphasis)))
        energy = spectrum.sum(dim=1, keepdim=True) / self.spectrum.fft_size
        cepstra = self.cosines @ torch.log10(self.filters(spectrum) + self.floor)
        return torch.cat([torch.log10(energy + self.floor), cepstra], dim=1).unsqueeze(1)
