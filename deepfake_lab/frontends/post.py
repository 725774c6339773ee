"""What can be done to the features of any front-end: deltas, mean and variance normalisation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Cmvn = Literal["none", "mean", "mean_variance"]
"""What is taken from each bin of each utterance: nothing, its mean over time, or its mean and its variance."""

_LEAST_VARIANCE = 1e-5
"""Added to variances: bins that never change stay zero."""


class Post(nn.Module):
    """Appends deltas along the bins, then normalises each bin over the frames of its utterance.

    Deltas are the slope over three frames, ``(c[t + 1] - c[t - 1]) / 2``, with the outermost frames repeated.
    Normalisation (CMVN) takes away what a channel or a vocoder adds to every frame, be it a cue or a nuisance.

    Args:
        deltas: 0, 1 (bins and their deltas) or 2 (double deltas, too).
        cmvn: see `Cmvn`.

    Source:
        Furui, "Speaker-independent isolated word recognition using dynamic features of speech spectrum", 1986.
    """

    def __init__(self, deltas: Literal[0, 1, 2] = 0, cmvn: Cmvn = "none") -> None:
        super().__init__()
        self.deltas, self.cmvn = deltas, cmvn

    def bins(self, bins: int) -> int:
        """Number of bins that so many become."""
        return bins * (1 + self.deltas)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, C, bins(F), L)`` of features ``(B, C, F, L)``."""
        orders = [features]
        for _ in range(self.deltas):
            orders.append(_slope(orders[-1]))
        if len(orders) > 1:
            features = torch.cat(orders, dim=2)
        if self.cmvn != "none":
            features = features - features.mean(dim=-1, keepdim=True)
        if self.cmvn == "mean_variance":
            features = features * torch.rsqrt(features.square().mean(dim=-1, keepdim=True) + _LEAST_VARIANCE)
        return features


def _slope(features: Tensor) -> Tensor:
    """Mean rise per frame over each frame and its neighbours."""
    padded = functional.pad(features, (1, 1, 0, 0), mode="replicate")
    return 0.5 * (padded[..., 2:] - padded[..., :-2])
