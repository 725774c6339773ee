"""What microphones and amplifiers do to the amplitude: gain, polarity, clipping."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, bounds, uniform


class Gain(Augmentation):
    """Makes rows louder or quieter.

    Args:
        gain_db: range of the gain in dB.
        p: see `Augmentation`.

    Raises:
        LabError: the range is none.
    """

    def __init__(self, gain_db: Sequence[float] = (-15, 6), p: float = 0.5) -> None:
        super().__init__(p)
        self.gain_db = bounds("gain_db", gain_db)

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        return batch * 10 ** (uniform(batch, self.gain_db) / 20)


class Polarity(Augmentation):
    """Turns rows upside down."""

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        return -batch


class Clipping(Augmentation):
    """Cuts off what is louder than a drawn limit.

    Args:
        below_peak_db: range of the distance of the limit from the row's largest sample, in dB.
        p: see `Augmentation`.

    Raises:
        LabError: the range is none, or reaches above the peak.
    """

    def __init__(self, below_peak_db: Sequence[float] = (0, 15), p: float = 0.5) -> None:
        super().__init__(p)
        self.below_peak_db = bounds("below_peak_db", below_peak_db, least=0)

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        peak = batch.abs().amax(dim=-1, keepdim=True)
        limit = peak * 10 ** (-uniform(batch, self.below_peak_db) / 20)
        return torch.maximum(torch.minimum(batch, limit), -limit)
