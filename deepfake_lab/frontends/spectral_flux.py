"""Spectral flux: how much each band of the spectrum rises from frame to frame."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from deepfake_lab.frontends.frontend import Frontend, Normalise
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import Engine
from deepfake_lab.types import LabError


class SpectralFlux(Frontend):
    """Half-wave rectified difference of the log-mel spectrum, averaged in bands, ``(B, T) -> (B, 1, bands, T // hop)``.

    Of the several definitions of spectral flux this is the one behind librosa's onset strength, before its shift by
    half a window: in each mel filter ``max(0, log m[t] - log m[t - 1])``, then the mean over the filters of a band.
    With ``bands=1`` it is the onset strength, in nepers instead of decibels. The first frame is 0.

    Args:
        bands: number of bands, each of equally many neighbouring mel filters.
        rectify: count rises only; else falls are negative and cancel rises in other filters of their band.
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
        LabError: the filters cannot be shared out among the bands, or do not fit the FFT.

    Source:
        Böck and Widmer, "Maximum filter vibrato suppression for onset detection", 2013, without the maximum filter.
    """

    def __init__(
        self,
        bands: int = 40,
        rectify: bool = True,
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
        if bands < 1 or mels % bands:
            raise LabError(f"bands={bands}: mels={mels} cannot be shared out among them. Choose a divisor of mels.")
        self.bands, self.rectify = bands, rectify
        self.mel = Mel(mels, hop_ms, window_ms, fft_size, f_min, f_max, floor, trainable, engine=engine)
        self.channels, self.bins = 1, self.post.bins(bands)
        self.hop, self.min_samples = self.mel.hop, self.mel.min_samples

    @property
    def frequencies(self) -> Tensor:
        """Mean frequencies of the bands ``(bands,)``, in Hz."""
        return self.mel.frequencies.view(self.bands, -1).mean(dim=1)

    def features(self, wave: Tensor) -> Tensor:
        """Flux ``(B, 1, bands, L)`` of waveforms ``(B, T)``."""
        rise: Tensor = functional.pad(self.mel.features(wave).diff(dim=-1), (1, 0))
        if self.rectify:
            rise = functional.relu(rise)
        batch, _, _, frames = rise.shape
        return rise.view(batch, 1, self.bands, -1, frames).mean(dim=3)
