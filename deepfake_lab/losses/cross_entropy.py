"""Class-weighted cross-entropy with the training prior in the loss and not in the score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.losses.loss import DetectionLoss, class_counts
from deepfake_lab.types import BONAFIDE, SPOOF, Batch, LabError, Output


class WeightedCrossEntropy(DetectionLoss):
    """Binary cross-entropy of ``sigmoid(raw_score + b)``, ``b = ln(w_bonafide N_bonafide / (w_spoof N_spoof))``.

    Under cross-entropy a network learns posterior log-odds: the log-likelihood ratio plus the log-odds ``b`` of the
    weighted training set. Adding ``b`` here leaves the log-likelihood ratio to the score, whatever the weights and the
    balance (Brümmer and du Preez, "Application-independent evaluation of speaker detection", 2006).

    Weights are scaled to a mean of 1 over the training set, so that losses of different weightings compare.

    Args:
        class_weight: weights of bona fide and spoof utterances, or "balanced" for equal weight of both classes.

    Attributes:
        prior_log_odds: buffer, b; NaN until `set_prior`.
        weight: buffer ``(2,)``, weights by label; NaN until `set_prior`.

    Raises:
        LabError: the weights are not two positive numbers.
    """

    prior_log_odds: Tensor
    weight: Tensor

    def __init__(self, class_weight: Literal["balanced"] | Sequence[float] = "balanced") -> None:
        super().__init__()
        self.class_weight = None if class_weight == "balanced" else tuple(map(float, class_weight))
        if self.class_weight is not None and (len(self.class_weight) != 2 or min(self.class_weight) <= 0):
            raise LabError(f"class_weight={class_weight}: give 'balanced' or two positive weights, [bona fide, spoof].")
        self.register_buffer("prior_log_odds", torch.tensor(math.nan))
        self.register_buffer("weight", torch.full((2,), math.nan))

    def set_prior(self, n_bonafide: float, n_spoof: float) -> None:
        """Sets weights and prior from the numbers of training utterances.

        Raises:
            LabError: a class is empty.
        """
        counts = class_counts(n_bonafide, n_spoof)
        weight = 1 / counts if self.class_weight is None else counts.new_tensor(self.class_weight)
        mass = weight * counts
        self.weight.copy_(weight * counts.sum() / mass.sum())
        self.prior_log_odds.copy_(torch.log(mass[BONAFIDE] / mass[SPOOF]))

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted mean over the batch, in nats, as ``cross_entropy``."""
        logit = output.raw_score + self.prior_log_odds
        target = (batch.label == BONAFIDE).to(logit.dtype)
        loss = functional.binary_cross_entropy_with_logits(logit, target, weight=self.weight[batch.label])
        return {"cross_entropy": loss}

    @property
    def constant_loss(self) -> float:
        """Entropy of the weighted training prior in nats: ln 2 for balanced weights."""
        bonafide = torch.sigmoid(self.prior_log_odds.double())
        return float(-torch.special.xlogy(bonafide, bonafide) - torch.special.xlogy(1 - bonafide, 1 - bonafide))
