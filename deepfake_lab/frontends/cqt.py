"""Constant-Q transform."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.frontends.frontend import Frontend, Normalise, samples_of
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.spectrum import exact_convolution, power
from deepfake_lab.types import SAMPLE_RATE, LabError

if TYPE_CHECKING:
    from nnAudio.features.cqt import CQT1992v2

CqtEngine = Literal["auto", "nnaudio", "blocks"]
"""Who computes the CQT: nnAudio's convolution, products of blocks of a hop, or (auto) nnAudio on CUDA, else blocks.

Both are the definition. Going octave by octave to ever lower sampling rates, as librosa and nnAudio's CQT2010v2 do, is
no faster, adds the errors of its resampling, and needs hops that can be halved as often.
"""


class Cqt(Frontend):
    """Natural logarithm of the power of the constant-Q transform, ``(B, T) -> (B, 1, bins, T // hop)``.

    Bins lie evenly on a logarithmic scale of frequency, and each filter is Q periods long: low frequencies are resolved
    finely, high ones sharply in time. Defaults give seven octaves up to 7.6 kHz and 84 x 250 for 4 s; the lowest filter
    is 0.27 s long. Filters are Hann-windowed and scaled so that white noise has equal power in all bins. Frames are
    centred on multiples of the hop, zeros lie beyond both ends.

    Args:
        bins: number of filters.
        bins_per_octave: filters an octave. 24 double the length of filters: bring `f_min` and `bins` along.
        f_min: frequency of the lowest filter, in Hz.
        hop_ms: distance of frames, in ms.
        floor: added to the power before the logarithm: some 70 dB below white noise of the signal's level.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
        engine: see `CqtEngine`.

    Raises:
        LabError: the highest filter exceeds half the sampling rate.

    Source:
        Brown, "Calculation of a constant Q spectral transform", 1991; Todisco, Delgado and Evans, "Constant Q cepstral
        coefficients", 2017, for spoofing.
    """

    def __init__(
        self,
        bins: int = 84,
        bins_per_octave: int = 12,
        f_min: float = 62.5,
        hop_ms: float = 16.0,
        floor: float = 1e-7,
        normalise: Normalise = "level",
        post: Post | None = None,
        engine: CqtEngine = "auto",
    ) -> None:
        super().__init__(normalise, post)
        _check_range(bins, bins_per_octave, f_min)
        self.hop, self.floor, self.engine = samples_of(hop_ms), floor, engine
        self.filters = (bins, bins_per_octave, f_min)
        self.channels, self.bins, self.min_samples = 1, self.post.bins(bins), self.hop
        octaves = self._octaves()
        self.octaves, self.reach = nn.ModuleList(octaves), max(octave.reach for octave in octaves)
        self.kernels: CQT1992v2 | None = self._kernels() if engine == "nnaudio" else None

    @property
    def frequencies(self) -> Tensor:
        """Middles of the filters ``(bins,)``, in Hz."""
        bins, per_octave, f_min = self.filters
        weight = next(self.octaves.buffers())
        return f_min * 2 ** (torch.arange(bins, device=weight.device) / per_octave)

    def features(self, wave: Tensor) -> Tensor:
        """Log power ``(B, 1, bins, L)`` of waveforms ``(B, T)``, lowest frequency first."""
        engine = self.engine
        if engine == "auto":
            engine = "nnaudio" if wave.is_cuda else "blocks"
        spectrum = self._nnaudio(wave) if engine == "nnaudio" else self._blocks(wave)
        return torch.log(spectrum + self.floor).unsqueeze(1)

    def _blocks(self, wave: Tensor) -> Tensor:
        """Power ``(B, bins, L)`` by matrix products of blocks of one hop, whose middles are the middles of frames."""
        frames = self.frames(wave.shape[-1])
        before = self.reach * self.hop + self.hop // 2
        after = (frames + 2 * self.reach) * self.hop - before - wave.shape[-1]
        blocks = functional.pad(wave, (before, after)).view(len(wave), -1, self.hop)
        return torch.cat([octave(blocks, frames) for octave in self.octaves], dim=2).transpose(1, 2)

    def _octaves(self) -> list[_Octave]:
        from nnAudio.utils import create_cqt_kernels

        bins, per_octave, f_min = self.filters
        made, _, lengths, _ = create_cqt_kernels(_quality(per_octave), SAMPLE_RATE, f_min, bins, per_octave)
        kernels = torch.from_numpy(made) * lengths.sqrt().unsqueeze(1)
        starts = range(0, bins, per_octave)
        return [
            _Octave(kernels[start : start + per_octave], int(lengths[start]), self.hop) for start in starts
        ]  # the lowest filter of an octave is its longest

    def _nnaudio(self, wave: Tensor) -> Tensor:
        if self.kernels is None:
            with torch.inference_mode(False):  # or the kernels could never take part in training
                self.kernels = self._kernels().to(wave.device)
        with exact_convolution():
            spectrum: Tensor = self.kernels(wave, output_format="Complex")
        return power(*spectrum[:, :, : self.frames(wave.shape[-1])].unbind(dim=-1))

    def _kernels(self) -> CQT1992v2:
        from nnAudio.features.cqt import CQT1992v2  # takes a second, and a CPU seldom needs it

        bins, per_octave, f_min = self.filters
        layer = CQT1992v2(
            SAMPLE_RATE, self.hop, f_min, n_bins=bins, bins_per_octave=per_octave, pad_mode="constant", verbose=False
        )
        for name, buffer in list(layer.named_buffers()):
            layer.register_buffer(name, buffer, persistent=False)
        return layer


class _Octave(nn.Module):
    """Filters of one octave over a waveform cut into blocks.

    Args:
        kernels: complex filters ``(K, W)``, centred on sample ``W // 2``.
        length: samples of the longest of them.
        hop: length of a block.

    Attributes:
        reach: number of blocks that a filter needs on each side of its middle one.
    """

    weight: Tensor

    def __init__(self, kernels: Tensor, length: int, hop: int) -> None:
        super().__init__()
        self.reach = max(0, math.ceil((length // 2 + 1 - hop // 2) / hop))
        span = 2 * self.reach + 1
        before = self.reach * hop + hop // 2
        parts = functional.pad(torch.cat([kernels.real, kernels.imag]), (before, span * hop))  # centred before + W // 2
        pieces = parts[:, kernels.shape[1] // 2 :][:, : span * hop].reshape(-1, span, hop)
        self.register_buffer("weight", pieces.permute(2, 1, 0).flatten(1).contiguous(), persistent=False)

    def forward(self, blocks: Tensor, frames: int) -> Tensor:
        """Power ``(B, frames, K)`` of blocks ``(B, N, hop)``, those of the frames being in the middle."""
        first, span = (blocks.shape[1] - frames) // 2 - self.reach, 2 * self.reach + 1
        products = blocks[:, first : first + frames + span - 1] @ self.weight
        pieces = [piece[:, offset : offset + frames] for offset, piece in enumerate(products.chunk(span, dim=-1))]
        response = functools.reduce(torch.add, pieces)
        return power(*response.chunk(2, dim=-1))


def _quality(bins_per_octave: int) -> float:
    """Frequency of a filter over its distance from the next."""
    quality: float = 1 / (2 ** (1 / bins_per_octave) - 1)
    return quality


def _check_range(bins: int, bins_per_octave: int, f_min: float) -> None:
    """Refuses filters of which the highest has half its main lobe, 0.75 of its bandwidth, beyond half the rate."""
    edge = f_min * 2 ** ((bins - 1) / bins_per_octave) * (1 + 0.75 / _quality(bins_per_octave))
    if not 0 < f_min < edge <= SAMPLE_RATE / 2:
        raise LabError(
            f"{bins} filters, {bins_per_octave} an octave, from f_min={f_min:g} Hz reach up to {edge:g} Hz: must lie "
            f"within 0 and {SAMPLE_RATE / 2:g}. Lower bins or change f_min."
        )
