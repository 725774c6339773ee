"""WORLD, the classical source-filter vocoder (Morise et al., IEICE Trans. Inf. & Syst. E99-D(7), 2016)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder
from deepfake_lab.types import SAMPLE_RATE


@dataclass(frozen=True)
class World(Vocoder):
    """Analysis into F0 (DIO + StoneMask), envelope (CheapTrick) and aperiodicity (D4C), then synthesis.

    Nothing in it is random but a noise that `pyworld` seeds itself, so the seed is not used.

    Args:
        frame_ms: hop of the analysis in milliseconds.
    """

    frame_ms: float = 5.0

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        with warnings.catch_warnings():  # pyworld asks pkg_resources for its own version, which warns
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            import pyworld

        samples = wave.astype(np.float64)
        f0, times = pyworld.dio(samples, SAMPLE_RATE, frame_period=self.frame_ms)
        f0 = pyworld.stonemask(samples, f0, times, SAMPLE_RATE)
        envelope = pyworld.cheaptrick(samples, f0, times, SAMPLE_RATE)
        aperiodicity = pyworld.d4c(samples, f0, times, SAMPLE_RATE)
        copied = pyworld.synthesize(f0, envelope, aperiodicity, SAMPLE_RATE, self.frame_ms)
        return np.asarray(copied[: len(wave)], dtype=np.float32)
