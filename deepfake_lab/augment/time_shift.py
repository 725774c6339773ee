"""Windows that begin elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, uniform
from deepfake_lab.types import LabError


class TimeShift(Augmentation):
    """Shifts rows in a circle: what leaves at the end comes back at the beginning.

    Filling with zeros instead would bring digital silence into recordings that have none, a cue of its own.

    Args:
        share: longest shift, as a share of the row; 1 lets it begin anywhere.
        p: see `Augmentation`.

    Raises:
        LabError: the share is not within (0, 1].
    """

    def __init__(self, share: float = 1.0, p: float = 0.5) -> None:
        super().__init__(p)
        if not 0 < share <= 1:
            raise LabError(f"augment: share={share}: the longest shift is more than 0 and at most 1, the whole window.")
        self.share = share

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        shift = (uniform(batch, (0, self.share)) * batch.shape[-1]).long().flatten().tolist()
        return torch.stack([row.roll(samples) for row, samples in zip(batch, shift, strict=True)])
