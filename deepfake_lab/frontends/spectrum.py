"""Short-time power spectra by either of two engines that give the same numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from nnAudio.librosa_functions import get_mel
from torch import Tensor, nn

from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from nnAudio.features.stft import STFT

Engine = Literal["auto", "nnaudio", "fft"]
"""Who computes the STFT: nnAudio's convolution, `torch.stft`, or (auto) nnAudio on CUDA and `torch.stft` elsewhere."""


class PowerSpectrum(nn.Module):
    """Squared magnitude of the short-time Fourier transform, Hann window, frames centred on multiples of the hop.

    Both ends are padded by reflection of half an FFT. Of the ``T // hop + 1`` frames that centring gives the last is
    dropped: where T is a multiple of the hop, half of it is reflection, and 4 s give 200 frames of 20 ms, not 201.

    The layer has no state worth saving: window and kernels are computed, not stored in checkpoints.
    """

    window: Tensor

    def __init__(self, fft_size: int, window: int, hop: int, engine: Engine = "auto") -> None:
        super().__init__()
        if window > fft_size:
            raise LabError(
                f"A window of {window} samples exceeds fft_size={fft_size}: raise fft_size or shorten the window."
            )
        self.fft_size, self.hop, self.engine = fft_size, hop, engine
        self.bins = fft_size // 2 + 1
        self.min_samples = max(hop, fft_size // 2 + 1)  # reflection needs more samples than it pads
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.kernels: STFT | None = self._kernels() if engine == "nnaudio" else None

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples."""
        return samples // self.hop

    def forward(self, wave: Tensor) -> Tensor:
        """Power ``(B, fft_size // 2 + 1, T // hop)`` of waveforms ``(B, T)``, both float32."""
        engine = self.engine
        if engine == "auto":
            engine = "nnaudio" if wave.is_cuda else "fft"
        spectrum = self._nnaudio(wave) if engine == "nnaudio" else self._fft(wave)
        real, imaginary = spectrum[:, :, : self.frames(wave.shape[-1])].unbind(dim=-1)
        # Not through the magnitude: its gradient is NaN at zero. Nor by square().sum(-1), which is five times slower.
        return torch.addcmul(real.square(), imaginary, imaginary)

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
        with _exact_convolution():
            spectrum: Tensor = self.kernels(wave, output_format="Complex")
        return spectrum

    def _kernels(self) -> STFT:
        from nnAudio.features.stft import STFT  # takes a second, and a CPU seldom needs it

        layer = STFT(self.fft_size, len(self.window), hop_length=self.hop, pad_mode="reflect", verbose=False)
        for name, buffer in list(layer.named_buffers()):
            layer.register_buffer(name, buffer, persistent=False)
        return layer


@contextmanager
def _exact_convolution() -> Iterator[None]:
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
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise LabError(
            f"Mel filters from f_min={f_min:g} to f_max={f_max:g} Hz: must rise within 0 and {sample_rate / 2:g}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nnAudio warns of empty filters, refused below
        filters = torch.from_numpy(get_mel(sample_rate, fft_size, bins, f_min, f_max))
    empty = int((filters.amax(dim=1) == 0).sum())
    if empty:
        raise LabError(
            f"{empty} of {bins} mel filters fall between FFT bins: raise fft_size={fft_size} or lower the number."
        )
    return filters
