"""Mixup: two utterances at once, and their two labels by share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Beta

from deepfake_lab.types import LabError


class Mixture(NamedTuple):
    """A batch of pairs.

    Attributes:
        wave: ``share * one + (1 - share) * other``, waveforms ``(B, T)``.
        partner: row of each other ``(B,)``, int64.
        share: of the one, a scalar within [0.5, 1]; so the row's own label is the one that it has more of.
    """

    wave: Tensor
    partner: Tensor
    share: Tensor


class Mixup(nn.Module):
    """Mixes every row with a drawn one (Zhang et al., ICLR 2018).

    As in the authors' code one share is drawn for the whole batch, so that the loss is the share of the loss on the
    rows' own labels plus the rest on their partners', whatever the loss.

    Args:
        alpha: the share is drawn from Beta(alpha, alpha): small ones leave most batches nearly unmixed.

    Raises:
        LabError: alpha is not positive.
    """

    def __init__(self, alpha: float = 0.3) -> None:
        super().__init__()
        if alpha <= 0:
            raise LabError(f"augment: mixup.alpha={alpha}: give a positive number, or augment.mixup=null for none.")
        self.alpha = alpha

    def forward(self, wave: Tensor) -> Mixture:
        """Mixes waveforms ``(B, T)``."""
        alpha = torch.tensor(self.alpha, device=wave.device)
        share = Beta(alpha, alpha).sample()
        share = torch.maximum(share, 1 - share)  # the same pairs, named the other way round
        partner = torch.randperm(len(wave), device=wave.device)
        return Mixture(share * wave + (1 - share) * wave[partner], partner, share)
