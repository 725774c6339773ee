"""Griffin-Lim on the linear spectrogram, at a resolution that the seed draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.stft import istft, stft
from deepfake_lab.synthesis.system import Vocoder, at_level_of


@dataclass(frozen=True)
class GriffinLimLinear(Vocoder):
    """Keeps all magnitudes and estimates the phase alone, by the plain algorithm (Griffin & Lim, 1984).

    `GriffinLim` loses the fine structure of the spectrum in a mel bottleneck as well.

    Args:
        n_ffts: windows in samples, of which the seed draws one.
        overlaps: windows over each sample, drawn likewise.
        n_iter: range of the number of iterations, drawn likewise; few leave a rough phase.
    """

    n_ffts: Sequence[int] = (256, 512, 1024, 2048)
    overlaps: Sequence[int] = (2, 4, 8)
    n_iter: tuple[int, int] = (4, 32)
    families: ClassVar[tuple[str, ...]] = ("phase",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        draw = np.random.default_rng(seed)
        n_fft, overlap = int(draw.choice(self.n_ffts)), int(draw.choice(self.overlaps))
        hop = n_fft // overlap
        magnitude = np.abs(stft(wave, n_fft, hop))
        spectrum = magnitude * np.exp(2j * np.pi * draw.random(magnitude.shape))
        for _ in range(draw.integers(*self.n_iter, endpoint=True)):
            consistent = stft(istft(spectrum, n_fft, hop, len(wave)), n_fft, hop)
            spectrum = magnitude * consistent / np.maximum(np.abs(consistent), 1e-12)
        return at_level_of(wave, istft(spectrum, n_fft, hop, len(wave)))
