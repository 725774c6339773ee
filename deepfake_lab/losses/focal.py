"""Focal loss: cross-entropy that turns to what is hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.types import BONAFIDE, SPOOF, Batch, LabError, Output


class Focal(WeightedCrossEntropy):
    """``-alpha (1 - p)^gamma ln p`` of the probability p that the utterance's own class is given.

    Lin et al., "Focal loss for dense object detection" (ICCV 2017), equation 5. Alpha is the class's weight, and p of
    bona fide is ``sigmoid(raw_score + b)``, with weights and b of `WeightedCrossEntropy`: gamma 0 makes the two equal.

    Args:
        class_weight: see `WeightedCrossEntropy`.
        gamma: how much less an utterance counts that is told apart already.

    Raises:
        LabError: gamma is negative, or the weights are not two positive numbers.
    """

    def __init__(self, class_weight: Literal["balanced"] | Sequence[float] = "balanced", *, gamma: float = 2.0) -> None:
        super().__init__(class_weight)
        if gamma < 0:
            raise LabError(f"gamma={gamma}: utterances that are told apart would count more. Give 0 or more.")
        self.gamma = gamma

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted mean over the batch, in nats, as ``focal``."""
        bonafide = output.raw_score + self.prior_log_odds
        own = torch.where(batch.label == BONAFIDE, bonafide, -bonafide)
        return {"focal": (self.weight[batch.label] * self._cost(own)).mean()}

    def _cost(self, log_odds: Tensor) -> Tensor:
        """Cost of giving an utterance's own class these log-odds."""
        return torch.exp(self.gamma * functional.logsigmoid(-log_odds)) * functional.softplus(-log_odds)

    @property
    def constant_loss(self) -> float:
        """The least that any one score for all utterances costs: a quarter of ln 2 for balanced weights and gamma 2."""
        share = torch.sigmoid(torch.stack([self.prior_log_odds, -self.prior_log_odds]).double())
        log_odds = torch.linspace(-20, 20, 40_001, dtype=torch.float64, device=share.device)
        return float((share[BONAFIDE] * self._cost(log_odds) + share[SPOOF] * self._cost(-log_odds)).min())
