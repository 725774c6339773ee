"""Supervised contrastive learning: utterances of a class near each other, and away from the other class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deepfake_lab.losses.angular import require_positive
from deepfake_lab.losses.loss import DetectionLoss
from deepfake_lab.types import Batch, LabError, Output


class SupervisedContrastive(DetectionLoss):
    """The supervised contrastive loss of projections, beside a loss of the score.

    Khosla et al., "Supervised contrastive learning" (NeurIPS 2020), equation 2 (L_out), as a mean over utterances: of
    the similarities of an utterance with all others of the batch, those with its own class should be the greatest.
    An utterance without another of its class has no say. Several views of an utterance are several rows of the batch
    with its label.

    The loss of the score trains the detector jointly; where `ContrastiveHead.probe` keeps its gradient from the
    embedding, it trains the linear head alone and the contrastive loss does everything else.

    Args:
        classification: loss of the score.
        weight: of the contrastive loss beside it.
        temperature: what similarities are divided by.

    Attributes:
        rows: buffer, utterances in the last batch trained on, views included; NaN before.

    Raises:
        LabError: weight or temperature is not positive.
    """

    rows: Tensor

    def __init__(self, classification: DetectionLoss, *, weight: float = 1.0, temperature: float = 0.1) -> None:
        super().__init__()
        require_positive("weight", weight)
        require_positive("temperature", temperature)
        self.classification = classification
        self.weight = weight
        self.temperature = temperature
        self.register_buffer("rows", torch.tensor(math.nan))

    def set_prior(self, n_bonafide: float, n_spoof: float) -> None:
        """Tells the loss of the score; see `DetectionLoss`."""
        self.classification.set_prior(n_bonafide, n_spoof)

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss of the score, and ``contrastive``, times its weight.

        Raises:
            LabError: the detector's head gives no projections.
        """
        if output.projection.shape[1] == 0:
            raise LabError(
                "The contrastive loss needs the projections of a ContrastiveHead, and the detector's head is linear. "
                "Leave model.head to the loss; a trained detector keeps the head that it has."
            )
        if self.training:
            self.rows.fill_(len(batch.label))
        contrastive = supervised_contrastive(output.projection, batch.label, self.temperature)
        return {**self.classification(output, batch), "contrastive": self.weight * contrastive}

    @property
    def constant_loss(self) -> float:
        """The score's, and what it costs when all others of a batch look alike."""
        return self.classification.constant_loss + self.weight * math.log(max(float(self.rows) - 1, 1))


def supervised_contrastive(projection: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Mean over the utterances that have a positive; 0 if none has.

    Args:
        projection: unit vectors ``(B, P)``.
        label: classes ``(B,)``; utterances of the same are each other's positives.
        temperature: what similarities are divided by.
    """
    with torch.autocast(projection.device.type, enabled=False):
        similarity = projection @ projection.T / temperature
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    others = similarity.masked_fill(itself, torch.finfo(similarity.dtype).min)
    log_probability = similarity - others.logsumexp(dim=1, keepdim=True)
    positive = (label == label.unsqueeze(1)) & ~itself
    positives = positive.sum(1)
    cost = -log_probability.masked_fill(~positive, 0).sum(1) / positives.clamp_min(1)
    return cost.sum() / (positives > 0).sum().clamp_min(1)
