"""What losses of cosines between embeddings and class vectors have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from deepfake_lab.losses.loss import DetectionLoss, class_counts
from deepfake_lab.types import BONAFIDE, SPOOF, Batch, LabError, Output


class AngularLoss(DetectionLoss):
    """The mean over the batch of a cost of cosines, which a `CosineHead` gives; the class vectors are the head's.

    The score is what is trained: the cosine to the bona fide vector, less the one to the spoof vector if there is one.
    It is no log-likelihood ratio before calibration. Classes are not weighted: `loader.balance` can balance them.

    Attributes:
        name: of the term.
        class_vectors: number K of class vectors that the head must have.
        share: buffer ``(2,)``, shares of the training draws by label; NaN until `set_prior`.
    """

    name: ClassVar[str]
    class_vectors: ClassVar[int]
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("share", torch.full((2,), math.nan))

    def set_prior(self, n_bonafide: float, n_spoof: float) -> None:
        """Learns the shares of the classes; see `class_counts`."""
        counts = class_counts(n_bonafide, n_spoof)
        self.share.copy_(counts / counts.sum())

    @abstractmethod
    def cost(self, cosines: Tensor, label: Tensor) -> Tensor:
        """Costs ``(B,)`` of cosines ``(B, K)`` where the labels ``(B,)`` are true."""

    @abstractmethod
    def constants(self) -> Tensor:
        """Cosines ``(M, K)``, float64, of which one row for all utterances is the best that there is."""

    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The mean cost.

        Raises:
            LabError: the detector's head is of another kind.
        """
        cosines = output.projection
        if cosines.shape[1] != self.class_vectors:
            raise LabError(
                f"loss={self.name} is of cosines to {self.class_vectors} class vectors, and the detector's head gives "
                f"{cosines.shape[1]}. Leave model.head to the loss; a trained detector keeps the head that it has."
            )
        return {self.name: self.cost(cosines, batch.label).mean()}

    @property
    def constant_loss(self) -> float:
        """The least that any one pair of cosines for all utterances costs."""
        cosines = self.constants()
        label = torch.zeros(len(cosines), dtype=torch.int64)
        share = self.share.double().cpu()
        costs = [share[each] * self.cost(cosines, label + each) for each in (BONAFIDE, SPOOF)]
        return float(torch.stack(costs).sum(0).min())


def require_positive(name: str, value: float) -> None:
    """Refuses what is not a positive number.

    Raises:
        LabError: naming it.
    """
    if not value > 0:
        raise LabError(f"loss.{name}={value}: give a positive number.")
