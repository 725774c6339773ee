"""WORLD, the classical source-filter vocoder (Morise et al., IEICE Trans. Inf. & Syst. E99-D(7), 2016)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder
from deepfake_lab.types import SAMPLE_RATE

Samples = npt.NDArray[np.float64]


class Analysis(NamedTuple):
    """What WORLD knows of a recording, in frames of `frame_ms`.

    Attributes:
        f0: fundamental frequency ``(L,)`` in Hz, 0 where unvoiced.
        envelope: power spectral envelope ``(L, F)``.
        aperiodicity: share of noise in the amplitude, 0 to 1, ``(L, F)``.
        frame_ms: hop in milliseconds.
    """

    f0: Samples
    envelope: Samples
    aperiodicity: Samples
    frame_ms: float


@dataclass(frozen=True)
class World(Vocoder):
    """Analysis into F0 (DIO + StoneMask), envelope (CheapTrick) and aperiodicity (D4C), then synthesis.

    Nothing in it is random but a noise that `pyworld` seeds itself, so the seed is not used.

    Args:
        frame_ms: hop of the analysis in milliseconds.
    """

    frame_ms: float = 5.0
    families: ClassVar[tuple[str, ...]] = ("source_filter",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        return np.asarray(synthesise(analyse(wave, self.frame_ms), len(wave)), dtype=np.float32)


def analyse(wave: Wave, frame_ms: float) -> Analysis:
    """Takes speech ``(T,)`` at 16 kHz apart."""
    pyworld, samples = _library(), wave.astype(np.float64)
    f0, times = pyworld.dio(samples, SAMPLE_RATE, frame_period=frame_ms)
    f0 = pyworld.stonemask(samples, f0, times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(samples, f0, times, SAMPLE_RATE)
    return Analysis(f0, envelope, pyworld.d4c(samples, f0, times, SAMPLE_RATE), frame_ms)


def synthesise(analysis: Analysis, length: int) -> Samples:
    """Builds speech ``(length,)`` of its parts."""
    speech: Samples = _library().synthesize(*analysis[:3], SAMPLE_RATE, analysis.frame_ms)
    return speech[:length]


def _library() -> ModuleType:
    with warnings.catch_warnings():  # pyworld asks pkg_resources for its own version, which warns
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
        import pyworld
    return pyworld  # type: ignore[no-any-return]
