"""Mel inversion: magnitudes out of a mel spectrogram, with the phase of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.stft import istft, stft
from deepfake_lab.synthesis.system import Vocoder, at_level_of
from deepfake_lab.types import SAMPLE_RATE


@dataclass(frozen=True)
class MelInversion(Vocoder):
    """Squeezes the power spectrum through a mel filter bank and stretches it again by the pseudo-inverse.

    The phase stays the recording's own: what is wrong with the copy are its magnitudes alone, as they are behind the
    mel bottleneck of a neural vocoder. With `PhaseReplacement`, `GriffinLimLinear` and `GriffinLim` every combination
    of true and lost magnitudes and phases occurs.

    Args:
        n_mels: numbers of mel bands, of which the seed draws one.
        n_fft: window in samples at 16 kHz.
        hop: hop in samples; divides `n_fft`.
    """

    n_mels: Sequence[int] = (24, 40, 64, 80)
    n_fft: int = 1024
    hop: int = 256
    families: ClassVar[tuple[str, ...]] = ("mel",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        from torchaudio.functional import melscale_fbanks

        bands = int(np.random.default_rng(seed).choice(self.n_mels))
        bank = melscale_fbanks(self.n_fft // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE).numpy().astype(np.float64)
        spectrum = stft(wave, self.n_fft, self.hop)
        power = np.maximum(np.abs(spectrum) ** 2 @ bank @ np.linalg.pinv(bank), 0)
        spectrum *= np.sqrt(power) / np.maximum(np.abs(spectrum), 1e-12)
        return at_level_of(wave, istft(spectrum, self.n_fft, self.hop, len(wave)))
