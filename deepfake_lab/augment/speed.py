"""Faster and slower speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepfake_lab import audio
from deepfake_lab.augment.augmentation import UtteranceAugmentation, bounds
from deepfake_lab.types import SAMPLE_RATE


class SpeedPerturbation(UtteranceAugmentation):
    """Plays the window faster or slower, pitch included (Ko et al., Interspeech 2015).

    A slower window is cut at its end, a faster one begins again.

    Args:
        factor: range of the speed; 1.1 is 10 % faster.
        p: see `UtteranceAugmentation`.

    Raises:
        LabError: the range is none, or a speed is beyond 0.5 to 2.
    """

    def __init__(self, factor: Sequence[float] = (0.9, 1.1), p: float = 0.5) -> None:
        super().__init__(p)
        self.factor = bounds("factor", factor, least=0.5, most=2.0)

    def augmented(self, wave: audio.Wave, draw: np.random.Generator) -> audio.Wave:
        """See `UtteranceAugmentation.augmented`."""
        rate = round(SAMPLE_RATE * draw.uniform(*self.factor))
        return audio.fit_length(audio.resample(wave, rate), len(wave))
