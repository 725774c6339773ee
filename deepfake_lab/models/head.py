"""Heads: what turns an embedding into the raw score, and gives losses of directions what they train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.types import BONAFIDE, SPOOF

SHORTEST = 1e-4
"""Embeddings that are shorter count as this long: the direction of a zero has no bounded gradient."""


class Head(nn.Module, ABC):
    """Maps embeddings ``(B, E)`` to raw scores ``(B, 1)``; made with the number E of their components."""

    @abstractmethod
    def projection(self, embedding: Tensor) -> Tensor:
        """What losses of directions train: within [-1, 1], ``(B, P)``; P is 0 where there is nothing."""


class LinearHead(nn.Linear, Head):
    """A two-class linear head, written as the one logit it is: ``logit_bonafide - logit_spoof``.

    Args:
        embedding_dim: components E of an embedding.
    """

    def __init__(self, embedding_dim: int) -> None:
        super().__init__(embedding_dim, 1)

    def projection(self, embedding: Tensor) -> Tensor:
        """Nothing: ``(B, 0)``."""
        return embedding[:, :0]


class CosineHead(Head):
    """Scores by the angle between the embedding and class vectors, whatever their lengths.

    The raw score is the cosine to the bona fide vector, less the one to the spoof vector where there are two.

    Args:
        embedding_dim: components E of an embedding.
        class_vectors: 1 has a vector of bona fide alone, 2 has one of spoof too.

    Attributes:
        weight: parameter ``(class_vectors, E)``, the vectors by label, of any length.
    """

    def __init__(self, embedding_dim: int, *, class_vectors: Literal[1, 2] = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(class_vectors, embedding_dim) / embedding_dim**0.5)

    def projection(self, embedding: Tensor) -> Tensor:
        """Cosines to the class vectors ``(B, class_vectors)``, by label."""
        return functional.linear(directions(embedding), directions(self.weight))

    def forward(self, embedding: Tensor) -> Tensor:
        """Raw scores ``(B, 1)`` of embeddings ``(B, E)``."""
        cosines = self.projection(embedding)
        return cosines if len(self.weight) == 1 else cosines[:, [BONAFIDE]] - cosines[:, [SPOOF]]


class ContrastiveHead(LinearHead):
    """A linear head beside a projection network, through which contrastive losses see the embedding.

    The network is that of Khosla et al., "Supervised contrastive learning" (NeurIPS 2020), section 3.1: from the
    embedding's direction, through one hidden layer, to a direction again. No score depends on it.

    Args:
        embedding_dim: components E of an embedding.
        projection_dim: components P of a projection.
        probe: the score's gradient ends at the embedding, which is thus shaped by the projection alone: pre-training.

    Attributes:
        network: hidden layer, ReLU and output layer.
    """

    def __init__(self, embedding_dim: int, *, projection_dim: int = 128, probe: bool = False) -> None:
        super().__init__(embedding_dim)
        self.probe = probe
        self.network = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim), nn.ReLU(), nn.Linear(embedding_dim, projection_dim)
        )

    def projection(self, embedding: Tensor) -> Tensor:
        """Unit vectors ``(B, P)``."""
        return directions(self.network(directions(embedding)))

    def forward(self, embedding: Tensor) -> Tensor:
        """Raw scores ``(B, 1)`` of embeddings ``(B, E)``."""
        return super().forward(embedding.detach() if self.probe else embedding)


def directions(vectors: Tensor) -> Tensor:
    """Vectors ``(..., E)`` at unit length."""
    return functional.normalize(vectors, dim=-1, eps=SHORTEST)
