"""What every loss is: named terms of a detector's output on a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from deepfake_lab.types import Batch, LabError, Output


class DetectionLoss(nn.Module, ABC):
    """Maps an output and its batch to terms that the task logs by name and sums."""

    @abstractmethod
    def set_prior(self, n_bonafide: float, n_spoof: float) -> None:
        """Tells the loss how many utterances of each class the training set has, before training."""

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss, each a scalar, by name."""

    @property
    @abstractmethod
    def constant_loss(self) -> float:
        """Loss of the best detector that says the same of every utterance: who does no better has learned nothing."""


def class_counts(n_bonafide: float, n_spoof: float) -> Tensor:
    """Numbers of training utterances by label ``(2,)``, float64.

    Raises:
        LabError: a class is empty.
    """
    counts = torch.tensor([n_bonafide, n_spoof], dtype=torch.float64)
    if counts.min() < 1:
        raise LabError(
            f"The training set has {n_bonafide} bona fide and {n_spoof} spoof utterances: add the missing class."
        )
    return counts
