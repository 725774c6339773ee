"""Convolutional recurrent network on spectrograms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepfake_lab.models.encoder import SequenceEncoder, Standardise, require_bins
from deepfake_lab.types import LabError

STRIDES = ((2, 1), (2, 1), (2, 2), (2, 2))
"""Strides of the blocks in (frequency, time): time is kept longer, since artefacts of synthesis are short.

Blocks stride instead of pooling: on a CPU full-size maps cost four times the time of everything else together.
"""

TIME_STRIDE = math.prod(time for _, time in STRIDES)
"""Frames of the features from one output of the blocks to the next."""


class CRNN(SequenceEncoder):
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
        LabError: there are not four widths, or fewer than 16 bins.
    """

    stride = TIME_STRIDE

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
        require_bins("CRNN", bins, 16)
        self.embedding_dim = embedding_dim
        self.convolutions = Convolutions(channels, bins, widths)
        self.recurrent = nn.LSTM(self.convolutions.width, hidden, batch_first=True)
        self.embed = embed(hidden, embedding_dim, dropout)

    def sequence(self, features: Tensor) -> Tensor:
        """States ``(B, hidden, ceil(L / 4))`` of features ``(B, C, F, L)``."""
        states, _ = self.recurrent(self.convolutions(features))
        return torch.transpose(states, 1, 2)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of states ``(B, hidden, L')``."""
        embedding: Tensor = self.embed(sequence.mean(dim=-1))
        return embedding


class Convolutions(nn.Sequential):
    """Blocks of 3 x 3 convolution, batch normalisation and ReLU, whose maps become a sequence of frames.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        widths: output channels of the four blocks.

    Attributes:
        width: components D of a frame.

    Raises:
        LabError: there are not four widths.
    """

    def __init__(self, channels: int, bins: int, widths: Sequence[int]) -> None:
        if len(widths) != len(STRIDES):
            raise LabError(f"widths={list(widths)}: there are {len(STRIDES)} blocks, give as many widths.")
        blocks = [_block(*sizes) for sizes in zip((channels, *widths[:-1]), widths, STRIDES, strict=True)]
        super().__init__(Standardise(channels, bins), *blocks)
        self.to(memory_format=torch.channels_last)  # on a CPU a training step takes 0.7 x the time
        self.width = widths[-1] * math.ceil(bins / 2 ** len(STRIDES))

    def forward(self, features: Tensor) -> Tensor:
        """Frames ``(B, ceil(L / 4), D)`` of features ``(B, C, F, L)``."""
        maps = features
        for layer in self:
            maps = layer(maps)
        return maps.permute(0, 3, 1, 2).flatten(2)


def embed(width: int, embedding_dim: int, dropout: float) -> nn.Sequential:
    """Fully connected layer from what was pooled over time, ``(B, width)``, to embeddings, with dropout around it."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, embedding_dim), nn.ReLU(), nn.Dropout(dropout))


def _block(channels: int, width: int, stride: tuple[int, int]) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
