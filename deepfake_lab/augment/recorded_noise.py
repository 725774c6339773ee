"""Noise as somebody recorded it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.augment.augmentation import UtteranceAugmentation, bounds
from deepfake_lab.augment.recordings import Collection, Recordings


class RecordedNoise(UtteranceAugmentation):
    """Adds a part of a recording.

    Args:
        source: see `Recordings`.
        kinds: see `Recordings`.
        snr_db: range of the ratio of the window's RMS, pauses included, to that of the noise, in dB.
        p: see `UtteranceAugmentation`.

    Raises:
        LabError: the range is none, or see `Recordings`.
    """

    def __init__(
        self,
        source: Collection | str | Path,
        kinds: Sequence[str] = ("noise",),
        snr_db: Sequence[float] = (0, 30),
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.snr_db = bounds("snr_db", snr_db)
        self.recordings = Recordings(source, kinds)

    def augmented(self, wave: Wave, draw: np.random.Generator) -> Wave:
        """See `UtteranceAugmentation.augmented`."""
        noise = self.recordings.window(draw, len(wave))
        gain = rms(wave) / max(rms(noise), 1e-12) * 10 ** (-draw.uniform(*self.snr_db) / 20)
        return wave + np.float32(gain) * noise


def rms(wave: Wave) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave), dtype=np.float64)))
