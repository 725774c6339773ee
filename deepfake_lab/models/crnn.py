"""Convolutional recurrent network on spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from deepfake_lab.models.encoder import Encoder, Standardise
from deepfake_lab.types import LabError

STRIDES = ((2, 1), (2, 1), (2, 2), (2, 2))
"""Strides of the blocks in (frequency, time): time is kept longer, since artefacts of synthesis are short.

Blocks stride instead of pooling: on a CPU full-size maps cost four times the time of everything else together.
"""


class CRNN(Encoder):
    """2-D convolutions with batch normalisation, an LSTM over time, a fully connected layer, with dropout.

    The LSTM runs over every fourth frame of the features, each having seen 11 (0.2 s at 20 ms a frame). Its outputs are
    averaged over time, so that any length of audio gives an embedding of the same scale.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        widths: output channels of the four convolutional blocks.
        hidden: units of the LSTM.
        embedding_dim: components of the embedding.
        dropout: probability of dropout before and after the fully connected layer.

    Raises:
        LabError: there are not four widths.
    """

    def __init__(
        self,
        channels: int,
        bins: int,
        widths: Sequence[int] = (16, 32, 64, 64),
        hidden: int = 128,
        embedding_dim: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if len(widths) != len(STRIDES):
            raise LabError(f"widths={list(widths)}: CRNN has {len(STRIDES)} blocks, give as many widths.")
        self.embedding_dim = embedding_dim
        blocks = [_block(*sizes) for sizes in zip((channels, *widths[:-1]), widths, STRIDES, strict=True)]
        self.convolutions = nn.Sequential(Standardise(channels, bins), *blocks)
        self.recurrent = nn.LSTM(widths[-1] * math.ceil(bins / 2 ** len(STRIDES)), hidden, batch_first=True)
        self.embed = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(hidden, embedding_dim), nn.ReLU(), nn.Dropout(dropout)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of features ``(B, C, F, L)``."""
        maps = self.convolutions(features)
        states, _ = self.recurrent(maps.flatten(1, 2).transpose(1, 2))
        embedding: Tensor = self.embed(states.mean(dim=1))
        return embedding


def _block(channels: int, width: int, stride: tuple[int, int]) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
