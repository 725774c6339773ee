"""Domain-adversarial training: an embedding that does not tell the corpus, codec or language of an utterance."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from deepfake_lab.types import LabError

_STEEPNESS = 10.0  # of the schedule, gamma in the paper


class DomainClassifier(nn.Module):
    """Learns to name the domain of an utterance from its embedding, through a reversed gradient.

    It learns as any classifier does. What the detector receives is minus `reversal_strength` times the gradient, so
    that the embedding comes to tell less and less of the domain. A domain that has one class alone sets the two aims
    against each other: what tells it tells the class.

    Args:
        embedding_dim: components E of an embedding.
        domain_of_row: numbers of the domains from 0 ``(N,)``, int64, by row of the training manifest.
        weight: of the reversed gradient, once the schedule has come to its end.

    Raises:
        LabError: the weight is not positive.

    Source:
        Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015.
    """

    domain_of_row: Tensor

    def __init__(self, embedding_dim: int, domain_of_row: Tensor, *, weight: float = 0.1) -> None:
        super().__init__()
        if not 0 < weight < math.inf:
            raise LabError(f"model.domain_weight={weight}: give a positive number, or model.domain=null for none.")
        self.weight = weight
        self.register_buffer("domain_of_row", domain_of_row, persistent=False)
        domains = int(domain_of_row.max()) + 1
        self.network = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim), nn.ReLU(), nn.Linear(embedding_dim, domains)
        )

    def forward(self, embedding: Tensor, progress: float) -> Tensor:
        """Logits of the domains ``(B, D)`` of embeddings ``(B, E)``, at so much of training, from 0 to 1."""
        with torch.autocast(embedding.device.type, enabled=False):
            logits: Tensor = self.network(reverse_gradient(embedding, self.weight * reversal_strength(progress)))
        return logits


def reversal_strength(progress: float) -> float:
    """The paper's schedule, from 0 to 1: a classifier that knows nothing yet has nothing to say.

    Args:
        progress: how much of training is done, from 0 to 1.
    """
    return math.tanh(_STEEPNESS * progress / 2)  # = 2 / (1 + exp(-10 progress)) - 1


def reverse_gradient(values: Tensor, strength: float) -> Tensor:
    """The same values, behind which gradients are multiplied by minus the strength."""
    reversed_: Tensor = _Reversal.apply(values, strength)
    return reversed_


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:  # noqa: ANN401  # torch names no type
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return -ctx.strength * gradient, None
