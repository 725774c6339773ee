"""What every encoder is: a layer from features of any length to one embedding an utterance."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps features ``(B, C, F, L)`` to embeddings ``(B, E)``; built with the channels and bins of the front-end.

    Attributes:
        embedding_dim: number E of components of an embedding.
        min_frames: smallest number L of frames that it takes.
    """

    embedding_dim: int
    min_frames: int = 1

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of features ``(B, C, F, L)``."""


class Standardise(nn.Module):
    """Brings each bin of each channel to zero mean and unit variance over the training set.

    The statistics are running ones (batch normalisation without trainable scale), fixed in evaluation: what is said of
    an utterance does not depend on its neighbours, and differences between utterances stay.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * bins, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Standardised features ``(B, C, F, L)``."""
        standard: Tensor = self.norm(features.flatten(1, 2))
        return standard.view_as(features)
