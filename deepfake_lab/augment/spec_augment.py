"""SpecAugment: features without some bins and some frames."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, uniform
from deepfake_lab.types import LabError


class SpecAugment(Augmentation):
    """Fills drawn stretches of bins and of frames with the mean of the channel (Park et al., Interspeech 2019).

    The width of each mask is drawn between none and the largest, then its place. There is no time warping. Widths are
    shares, since front-ends differ in size: features of one bin keep it.

    Args:
        frequency_masks: number of masks over bins.
        frequency_share: largest width of one, as a share of the bins.
        time_masks: number of masks over frames.
        time_share: largest width of one, as a share of the frames.
        p: see `Augmentation`.

    Raises:
        LabError: a share is not within [0, 1], or there are fewer than no masks.
    """

    def __init__(
        self,
        frequency_masks: int = 2,
        frequency_share: float = 0.2,
        time_masks: int = 2,
        time_share: float = 0.1,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        for share, masks in ((frequency_share, frequency_masks), (time_share, time_masks)):
            if not 0 <= share <= 1 or masks < 0:
                raise LabError(f"augment: {masks} masks of a share of {share}: the share is between 0 and 1.")
        self.frequency_masks, self.frequency_share = frequency_masks, frequency_share
        self.time_masks, self.time_share = time_masks, time_share

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        bins = _covered(batch, batch.shape[2], self.frequency_masks, self.frequency_share)
        frames = _covered(batch, batch.shape[3], self.time_masks, self.time_share)
        covered = bins[:, None, :, None] | frames[:, None, None, :]
        return torch.where(covered, batch.mean(dim=(2, 3), keepdim=True), batch)


def _covered(batch: Tensor, size: int, masks: int, share: float) -> Tensor:
    """Which of `size` places the masks of each row cover, ``(B, size)``."""
    place = torch.arange(size, device=batch.device)
    covered = torch.zeros(len(batch), size, dtype=torch.bool, device=batch.device)
    for _ in range(masks):
        width = (uniform(batch, (0, 1)) * (int(share * size) + 1)).long()
        start = (uniform(batch, (0, 1)) * (size - width + 1)).long()
        covered |= (place >= start) & (place < start + width)
    return covered
