"""Phase replacement: the magnitudes of a recording with phases that it never had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.stft import Spectrum, istft, stft
from deepfake_lab.synthesis.system import Vocoder, at_level_of

_FLOOR = 1e-4  # of the strongest bin: keeps the logarithm of what is silent out of the cepstrum
_OVERLAP = 4


@dataclass(frozen=True)
class PhaseReplacement(Vocoder):
    """Replaces the phase of every frame and adds the frames up again.

    Args:
        kind: "random" sounds whispered; "zero" buzzes at the frame rate; "minimum" (from the cepstrum: Oppenheim &
            Schafer, Discrete-Time Signal Processing, ch. 13) buzzes likewise, each pulse ringing like a vocal tract.
        n_ffts: windows in samples, of which the seed draws one.
    """

    kind: Literal["random", "zero", "minimum"] = "random"
    n_ffts: Sequence[int] = (256, 512, 1024)
    families: ClassVar[tuple[str, ...]] = ("phase",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        draw = np.random.default_rng(seed)
        n_fft = int(draw.choice(self.n_ffts))
        hop = n_fft // _OVERLAP
        magnitude = np.abs(stft(wave, n_fft, hop))
        if self.kind == "random":
            spectrum = magnitude * np.exp(2j * np.pi * draw.random(magnitude.shape))
        else:
            spectrum = magnitude.astype(np.complex128) if self.kind == "zero" else _minimum_phase(magnitude, n_fft)
            spectrum[:, 1::2] *= -1  # half a frame later: pulses stand in the middle of the window
        return at_level_of(wave, istft(spectrum, n_fft, hop, len(wave)))


def _minimum_phase(magnitude: npt.NDArray[np.float64], n_fft: int) -> Spectrum:
    """Spectra of the minimum-phase signals with the given magnitudes ``(L, F)``."""
    floor = _FLOOR * magnitude.max() + 1e-12
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, floor)), n_fft)
    cepstrum[:, 1 : n_fft // 2] *= 2
    cepstrum[:, n_fft // 2 + 1 :] = 0
    return np.asarray(np.exp(np.fft.rfft(cepstrum)))
