"""Short-time spectra by either of two engines that give the same numbers, and filters over them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from nnAudio.librosa_functions import get_mel
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.types import SAMPLE_RATE, LabError

if TYPE_CHECKING:
    from nnAudio.features.stft import STFT

Engine = Literal["auto", "nnaudio", "fft"]
"""Who computes the STFT: nnAudio's convolution, `torch.stft`, or (auto) nnAudio on CUDA and `torch.stft` elsewhere."""


class Spectrum(nn.Module):
    """Short-time Fourier transform with frames centred on multiples of the hop.

    Both ends are padded by reflection of half an FFT. Of the ``T // hop + 1`` frames that centring gives the last is
    dropped: where T is a multiple of the hop, half of it is reflection, and 4 s give 200 frames of 20 ms, not 201.

    The layer has no state worth saving: window and kernels are computed, not stored in checkpoints.

    Args:
        fft_size: length of the Fourier transform, in samples.
        window: weights of the samples of a frame ``(W,)``, float32, zero-padded to `fft_size` on both sides alike.
        hop: distance of frames, in samples.
        engine: see `Engine`.

    Raises:
        LabError: the window is longer than the transform.
    """

    window: Tensor

    def __init__(self, fft_size: int, window: Tensor, hop: int, engine: Engine = "auto") -> None:
        super().__init__()
        if len(window) > fft_size:
            raise LabError(
                f"A window of {len(window)} samples exceeds fft_size={fft_size}: raise fft_size or shorten the window."
            )
        self.fft_size, self.hop, self.engine = fft_size, hop, engine
        self.bins = fft_size // 2 + 1
        self.min_samples = max(hop, fft_size // 2 + 1)  # reflection needs more samples than it pads
        self.register_buffer("window", window, persistent=False)
        self.kernels: STFT | None = self._kernels() if engine == "nnaudio" else None

    @property
    def frequencies(self) -> Tensor:
        """Middles of the bins ``(fft_size // 2 + 1,)``, in Hz."""
        return torch.linspace(0, SAMPLE_RATE / 2, self.bins, device=self.window.device)

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: whole hops."""
        return samples // self.hop

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, each ``(B, fft_size // 2 + 1, T // hop)``, of waveforms ``(B, T)``, float32."""
        engine = self.engine
        if engine == "auto":
            engine = "nnaudio" if wave.is_cuda else "fft"
        spectrum = self._nnaudio(wave) if engine == "nnaudio" else self._fft(wave)
        real, imaginary = spectrum[:, :, : self.frames(wave.shape[-1])].unbind(dim=-1)
        return real, imaginary

    def _fft(self, wave: Tensor) -> Tensor:
        return torch.view_as_real(
            torch.stft(
                wave, self.fft_size, self.hop, len(self.window), self.window, pad_mode="reflect", return_complex=True
            )
        )

    def _nnaudio(self, wave: Tensor) -> Tensor:
        if self.kernels is None:
            with torch.inference_mode(False):  # or the kernels could never take part in training
                self.kernels = self._kernels().to(wave.device)
        with exact_convolution():
            spectrum: Tensor = self.kernels(wave, output_format="Complex")
        return spectrum

    def _kernels(self) -> STFT:
        from nnAudio.features.stft import STFT  # takes a second, and a CPU seldom needs it

        layer = STFT(self.fft_size, window="boxcar", hop_length=self.hop, pad_mode="reflect", verbose=False)
        before = (self.fft_size - len(self.window)) // 2
        window = functional.pad(self.window.cpu(), (before, self.fft_size - len(self.window) - before))
        for name, buffer in list(layer.named_buffers()):
            layer.register_buffer(name, buffer * window if name in ("wsin", "wcos") else buffer, persistent=False)
        return layer


def power(real: Tensor, imaginary: Tensor) -> Tensor:
    """Squared magnitude of a spectrum."""
    # Not through the magnitude: its gradient is NaN at zero. Nor by square().sum(-1), which is five times slower.
    return torch.addcmul(real.square(), imaginary, imaginary)


class FilterBank(nn.Module):
    """Filters over the bins of a power spectrum.

    Args:
        weights: of each filter for each bin ``(filters, bins)``, float32, not negative.
        trainable: learn the weights, starting from these, where they are not zero; their signs do not count, so that
            the logarithm of filtered power stays defined. Only trainable weights are stored in checkpoints.
    """

    weights: Tensor

    def __init__(self, weights: Tensor, trainable: bool = False) -> None:
        super().__init__()
        self.trainable = trainable
        if trainable:
            self.weights = nn.Parameter(weights)
        else:
            self.register_buffer("weights", weights, persistent=False)

    @property
    def frequencies(self) -> Tensor:
        """Mean frequencies of what the filters pass ``(filters,)``, in Hz, also once they have learnt."""
        weights = self.weights.detach().abs()
        bins = torch.linspace(0, SAMPLE_RATE / 2, weights.shape[1], device=weights.device)
        return (weights @ bins) / weights.sum(dim=1)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Filtered power ``(B, filters, L)`` of a power spectrum ``(B, bins, L)``."""
        return (self.weights.abs() if self.trainable else self.weights) @ spectrum


@contextmanager
def exact_convolution() -> Iterator[None]:
    """Keeps cuDNN from TensorFloat-32, whose 10-bit mantissa buries quiet bins under rounding noise."""
    settings = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # set from outside the module
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


def mel_filters(bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Triangular filters of equal area on the mel scale of Slaney's Auditory Toolbox, from nnAudio.

    Returns:
        Weights ``(bins, fft_size // 2 + 1)``, float32.

    Raises:
        LabError: the range is not within 0 Hz and half the sampling rate, or a filter falls between two FFT bins.
    """
    _check_range(sample_rate, f_min, f_max)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nnAudio warns of empty filters, refused below
        filters = torch.from_numpy(get_mel(sample_rate, fft_size, bins, f_min, f_max))
    return _none_empty(filters, fft_size)


def linear_filters(bins: int, fft_size: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Triangular filters of height 1, equally wide, each reaching from the centre of one neighbour to the other's.

    Returns:
        Weights ``(bins, fft_size // 2 + 1)``, float32.

    Raises:
        LabError: the range is not within 0 Hz and half the sampling rate, or a filter falls between two FFT bins.
    """
    _check_range(sample_rate, f_min, f_max)
    width = (f_max - f_min) / (bins + 1)
    centres = f_min + width * torch.arange(1, bins + 1, dtype=torch.float64).unsqueeze(1)
    frequencies = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * sample_rate / fft_size
    return _none_empty((1 - (frequencies - centres).abs() / width).clamp(min=0).float(), fft_size)


def _check_range(sample_rate: int, f_min: float, f_max: float) -> None:
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise LabError(
            f"Filters from f_min={f_min:g} to f_max={f_max:g} Hz: must rise within 0 and {sample_rate / 2:g}."
        )


def _none_empty(filters: Tensor, fft_size: int) -> Tensor:
    empty = int((filters.amax(dim=1) == 0).sum())
    if empty:
        raise LabError(
            f"{empty} of {len(filters)} filters fall between FFT bins: raise fft_size={fft_size} or lower the number."
        )
    return filters
