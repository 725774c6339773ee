"""Light convolutional network: max-feature-map activations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from deepfake_lab.models.encoder import SequenceEncoder, Standardise, mean_and_deviation, require_bins

Head = Literal["pooling", "blstm"]
"""What makes one embedding of the trunk's frames, see `LCNN`."""

_POOLED = 16  # bins, and frames, that become one: the trunk halves four times


class LCNN(SequenceEncoder):
    """Nine convolutions, each followed by a max-feature-map, pooled four times; 157,504 parameters on one channel.

    The trunk's frames, one for sixteen of the features, become an embedding by either head:

    * ``pooling``: mean and standard deviation over time, then the paper's fully connected layer of 160 with a
      max-feature-map. The paper flattens maps of one fixed size instead; and the batch normalisation that it puts
      behind is left out, since a training batch of one utterance has no variance.
    * ``blstm``: two bidirectional LSTMs as wide as their input, a skip connection around both, the mean over time.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        head: see above.
        embedding_dim: components of the embedding; the BLSTM head has as many as a frame, ``32 * (bins // 16)``.
        dropout: probability of dropout after the trunk.

    Raises:
        LabError: there are fewer than 16 bins.

    Source:
        Lavrentyeva et al., "STC antispoofing systems for the ASVspoof2019 challenge", Interspeech 2019.
        Wang and Yamagishi, "A comparative study on recent neural spoofing countermeasures for synthetic speech
        detection", Interspeech 2021 (BLSTM head, batch normalisation without scale; baseline of ASVspoof 2021).
    """

    min_frames = stride = _POOLED
    centre = (_POOLED - 1) / 2
    local_s = 0.64  # several steps: one has no deviation

    def __init__(
        self, channels: int, bins: int, head: Head = "pooling", embedding_dim: int = 80, dropout: float = 0.7
    ) -> None:
        super().__init__()
        require_bins("LCNN", bins, _POOLED)
        width = 32 * (bins // _POOLED)
        self.embedding_dim = width if head == "blstm" else embedding_dim
        self.standardise = Standardise(channels, bins)
        self.trunk = _trunk(channels).to(memory_format=torch.channels_last)  # faster on a CPU
        self.dropout = nn.Dropout(dropout)
        self.head = _BLSTM(width) if head == "blstm" else _Pooling(width, embedding_dim)

    def sequence(self, features: Tensor) -> Tensor:
        """What the head pools, ``(B, 32 * (F // 16), L // 16)``, of features ``(B, C, F, L)``."""
        maps = self.dropout(self.trunk(self.standardise(features)))
        return self.head.sequence(maps.flatten(1, 2))

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of a sequence ``(B, 32 * (F // 16), L')``."""
        embedding: Tensor = self.head(sequence)
        return embedding


def _trunk(channels: int) -> nn.Sequential:
    """Maps ``(B, 32, F // 16, L // 16)`` of features ``(B, C, F, L)``."""
    return nn.Sequential(
        *(_convolution(channels, 64, 5), nn.MaxPool2d(2)),
        *(_convolution(32, 64, 1), _norm(32), _convolution(32, 96, 3), nn.MaxPool2d(2), _norm(48)),
        *(_convolution(48, 96, 1), _norm(48), _convolution(48, 128, 3), nn.MaxPool2d(2)),
        *(_convolution(64, 128, 1), _norm(64), _convolution(64, 64, 3), _norm(32)),
        *(_convolution(32, 64, 1), _norm(32), _convolution(32, 64, 3), nn.MaxPool2d(2)),
    )


def _convolution(channels: int, width: int, size: int) -> nn.Sequential:
    """Convolution that keeps the size of maps, and max-feature-map: half as many channels as its width come out."""
    return nn.Sequential(nn.Conv2d(channels, width, size, padding=size // 2), MaxFeatureMap())


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, affine=False)


class MaxFeatureMap(nn.Module):
    """The larger of each component of the first half of the channels and its fellow of the second half."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps ``(B, C / 2, ...)`` of maps ``(B, C, ...)``."""
        first, second = maps.float().chunk(2, dim=1)  # in half precision the difference would lose the smaller one
        return second + torch.relu(first - second)  # torch.maximum, whose gradient costs a third of a training step


class _Pooling(nn.Module):
    """Sequences ``(B, width, L)`` to embeddings ``(B, embedding_dim)``."""

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2 * width, 2 * embedding_dim), MaxFeatureMap())

    def sequence(self, frames: Tensor) -> Tensor:
        return frames

    def forward(self, sequence: Tensor) -> Tensor:
        embedding: Tensor = self.embed(mean_and_deviation(sequence))
        return embedding


class _BLSTM(nn.Module):
    """Sequences ``(B, width, L)`` to embeddings ``(B, width)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(width, width // 2, num_layers=2, bidirectional=True, batch_first=True)

    def sequence(self, frames: Tensor) -> Tensor:
        states, _ = self.recurrent(frames.transpose(1, 2))
        return frames + torch.transpose(states, 1, 2)

    def forward(self, sequence: Tensor) -> Tensor:
        return sequence.mean(dim=-1)
