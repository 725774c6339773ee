"""WORLD with its parts disturbed: another pitch, throat, breath and frame rate for every recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder, at_level_of
from deepfake_lab.synthesis.world import Analysis, Samples, analyse, synthesise

_MOST_NOISE = 1 - 1e-12  # pyworld's own bound of the aperiodicity


@dataclass(frozen=True)
class WorldPerturbed(Vocoder):
    """Draws by the seed, once a recording, how each part of `World` is changed before synthesis.

    Args:
        frame_ms: hops of the analysis in milliseconds, of which one is drawn.
        f0_scale: range of the factor on F0, drawn on a logarithmic scale.
        f0_jitter: range of the standard deviation of a relative error of F0, drawn anew in every frame.
        warp: range of the factor on the frequencies of the envelope, formants included; likewise logarithmic.
        aperiodicity: range of the exponent on the aperiodicity; below 1 is noisier.
    """

    frame_ms: Sequence[float] = (3.0, 5.0, 8.0, 12.0)
    f0_scale: tuple[float, float] = (0.85, 1.18)
    f0_jitter: tuple[float, float] = (0.0, 0.015)
    warp: tuple[float, float] = (0.92, 1.09)
    aperiodicity: tuple[float, float] = (0.5, 2.0)
    families: ClassVar[tuple[str, ...]] = ("source_filter",)

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        draw = np.random.default_rng(seed)
        true = analyse(wave, float(draw.choice(self.frame_ms)))
        jitter = draw.uniform(*self.f0_jitter) * draw.standard_normal(len(true.f0))
        changed = Analysis(
            true.f0 * _factor(draw, self.f0_scale) * np.exp(jitter),
            _warped(true.envelope, _factor(draw, self.warp)),
            np.minimum(true.aperiodicity ** _factor(draw, self.aperiodicity), _MOST_NOISE),
            true.frame_ms,
        )
        return at_level_of(wave, synthesise(changed, len(wave)))


def _factor(draw: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(draw.uniform(*np.log(bounds))))


def _warped(envelope: Samples, factor: float) -> Samples:
    """Moves what an envelope ``(L, F)`` has at a frequency to `factor` times that frequency."""
    bins = envelope.shape[1]
    position = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.minimum(position.astype(int), bins - 2)
    share = position - low
    logarithm = np.log(envelope)
    return np.ascontiguousarray(np.exp((1 - share) * logarithm[:, low] + share * logarithm[:, low + 1]))
