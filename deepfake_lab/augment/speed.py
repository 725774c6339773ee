"""Faster and slower speech."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchaudio.functional import resample

from deepfake_lab.augment.augmentation import Augmentation, bounds, uniform

_ZEROS = 24  # of the windowed sinc on each side: more of them are hardly dearer


class SpeedPerturbation(Augmentation):
    """Plays rows faster or slower, pitch and spectrum included (Ko et al., Interspeech 2015).

    A slower row is cut at its end, a faster one begins again. So whatever a synthesis system leaves at certain
    frequencies is to be found at others. Speeds are whole per cents.

    Args:
        factor: range of the speed; 1.1 is 10 % faster.
        p: see `Augmentation`.

    Raises:
        LabError: the range is none, or a speed is beyond 0.5 to 2.
    """

    def __init__(self, factor: Sequence[float] = (0.85, 1.18), p: float = 0.5) -> None:
        super().__init__(p)
        self.factor = bounds("factor", factor, least=0.5, most=2.0)  # a row is heard twice at most

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        per_cent = (100 * uniform(batch, self.factor)).round().flatten().tolist()
        return torch.stack([at_speed(row, int(speed)) for row, speed in zip(batch, per_cent, strict=True)])


def at_speed(row: Tensor, per_cent: int) -> Tensor:
    """A row ``(T,)`` at a speed of 50 to 200 per cent, as long as it was.

    What would come to lie beyond half the sample rate is lost.
    """
    played = resample(row, per_cent, 100, lowpass_filter_width=_ZEROS)
    return torch.cat([played, played])[: len(row)]
