"""Overlapping frames and the short-time Fourier transform: what comes back is aligned and as long as what went in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave

Samples = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]


def frames(wave: Wave | Samples, size: int, hop: int) -> Samples:
    """Frames ``(L, size)`` of a waveform ``(T,)`` of any length, with a frame's zeros before and after it.

    Args:
        wave: what to cut.
        size: samples a frame.
        hop: samples from one frame to the next; divides `size`.
    """
    padded = np.pad(np.asarray(wave, dtype=np.float64), size)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, size)[::hop])


def overlap_add(parts: Samples, hop: int) -> Samples:
    """Adds up frames ``(L, size)``: ``((L - 1) * hop + size,)``."""
    number, size = parts.shape
    blocks = parts.reshape(number, size // hop, hop)
    out = np.zeros((number + size // hop - 1, hop))
    for n in range(size // hop):
        out[n : n + number] += blocks[:, n]
    return out.reshape(-1)


def window(size: int) -> Samples:
    """Periodic Hann window ``(size,)``, of which shifted copies add up to a constant."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))


def stft(wave: Wave | Samples, n_fft: int, hop: int) -> Spectrum:
    """Spectra ``(L, n_fft / 2 + 1)`` of `frames` under a Hann window."""
    return np.asarray(np.fft.rfft(frames(wave, n_fft, hop) * window(n_fft)))


def istft(spectrum: Spectrum, n_fft: int, hop: int, length: int) -> Samples:
    """The waveform ``(length,)`` whose `stft` is nearest to a spectrum (Griffin & Lim, 1984, eq. 6)."""
    shape = window(n_fft)
    added = overlap_add(np.fft.irfft(spectrum, n_fft) * shape, hop)
    weight = overlap_add(np.broadcast_to(shape**2, (len(spectrum), n_fft)), hop)
    return added[n_fft : n_fft + length] / weight[n_fft : n_fft + length]
