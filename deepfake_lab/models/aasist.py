"""AASIST: graph attention over the spectral and the temporal structure of raw audio.

Source: Jung et al., "AASIST: Audio Anti-Spoofing using Integrated Spectro-Temporal Graph Attention Networks", ICASSP
2022. In evaluation it is, number by number, the baseline of ASVspoof 5, whose weights `deepfake_lab.convert` reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.models.aasist_graph import DROPOUT, GraphAttention, GraphPool, HeterogeneousAttention
from deepfake_lab.models.encoder import SequenceEncoder
from deepfake_lab.types import SAMPLE_RATE, LabError

FILTER_LENGTH = 129
"""Samples of a filter of the filter bank: 8 ms."""
POOL = 3
"""Samples, or bins, that become one by each max-pooling."""
TEMPERATURES = (2.0, 100.0)
"""Of the attention within one graph and across both."""
SPECTRAL_PERCENT, TEMPORAL_PERCENT, JOINT_PERCENT = 50, 70, 50
"""How many nodes stay after pooling: of the spectral graph, of the temporal one, of each inside the branches."""


class AASIST(SequenceEncoder):
    """Sinc filter bank, residual blocks, two graphs with attention, two branches of heterogeneous attention, readout.

    The embedding joins maximum and mean over the temporal nodes, the same of the spectral nodes, and the stack node.

    Args:
        channels: number of channels of the features, 1.
        bins: number of bins of the features, 1: it takes waveforms as they are.
        filters: number of filters of the filter bank.
        widths: output channels of the residual blocks.
        graph_dim: components of the nodes of the branches.
        dropout: probability of dropout on the embedding.

    Raises:
        LabError: the features are not raw audio.
    """

    local_s = 1.0  # seven nodes of the temporal graph

    def __init__(
        self,
        channels: int,
        bins: int,
        filters: int = 70,
        widths: Sequence[int] = (32, 32, 64, 64, 64, 64),
        graph_dim: int = 32,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if (channels, bins) != (1, 1):
            raise LabError(
                f"AASIST takes raw audio, not features of {channels} channels and {bins} bins: choose frontend=raw."
            )
        self.embedding_dim = 5 * graph_dim
        self.stride = POOL ** (1 + len(widths))
        self.min_frames = FILTER_LENGTH - 1 + self.stride
        self.centre = (self.min_frames - 1) / 2
        width = widths[-1]
        self.bands = Bands(filters)
        self.norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(*map(ResidualBlock, (1, *widths[:-1]), widths))
        self.spectral_position = nn.Parameter(torch.randn(1, filters // POOL, width))
        self.spectral_attention = GraphAttention(width, width, TEMPERATURES[0])
        self.spectral_pool = GraphPool(width, SPECTRAL_PERCENT)
        self.temporal_attention = GraphAttention(width, width, TEMPERATURES[0])
        self.temporal_pool = GraphPool(width, TEMPORAL_PERCENT)
        self.branches = nn.ModuleList(Branch(width, graph_dim) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def sequence(self, features: Tensor) -> Tensor:
        """Maps ``(B, width, bands, L')`` of waveforms ``(B, 1, 1, T)``; a step is a node of the temporal graph."""
        bands = functional.selu(self.norm(self.bands(features.squeeze(1)).unsqueeze(1)))
        # channels last: on a CPU a training step takes two thirds of the time that it takes on contiguous maps
        maps: Tensor = self.blocks(bands.to(memory_format=torch.channels_last))
        return maps.abs()

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of the graphs of maps ``(B, width, bands, L')``."""
        spectral_nodes = sequence.amax(dim=3).transpose(1, 2) + self.spectral_position
        spectral = self.spectral_pool(self.spectral_attention(spectral_nodes))
        temporal = self.temporal_pool(self.temporal_attention(sequence.amax(dim=2).transpose(1, 2)))
        branches = [branch(temporal, spectral) for branch in self.branches]
        temporal, spectral, stack = (torch.maximum(*pair) for pair in zip(*branches, strict=True))
        readout = [reduced for nodes in (temporal, spectral) for reduced in (nodes.abs().amax(1), nodes.mean(1))]
        embedding: Tensor = self.dropout(torch.cat([*readout, stack.squeeze(1)], dim=1))
        return embedding


class Bands(nn.Module):
    """Magnitudes of band-pass filters, max-pooled over three filters and three samples.

    The filters share the frequencies up to 8 kHz evenly on the mel scale; they are not trained. One convolution with
    a stride of three samples gives all that is pooled, by filters that are three times as many, each at three shifts:
    a third faster on a CPU than the convolution, `abs` and `max_pool2d`, and exact.

    Args:
        count: number of filters.
    """

    filters: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        used = sinc_filters(count)[: count - count % POOL]
        shifted = [functional.pad(used, (shift, POOL - 1 - shift)) for shift in range(POOL)]
        self.register_buffer("filters", torch.stack(shifted, dim=1).flatten(0, 1).unsqueeze(1), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Bands ``(B, count // 3, (T - 128) // 3)`` of waveforms ``(B, 1, T)``, float32 also under autocast."""
        device = wave.device.type
        # "meta" knows no autocast
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            shifted = functional.conv1d(wave, self.filters, stride=POOL).abs_()
        return torch.unflatten(shifted, 1, (-1, POOL**2)).amax(dim=2)


def sinc_filters(count: int) -> Tensor:
    """Impulse responses ``(count, 129)`` of windowed-sinc band-pass filters, evenly spaced on the mel scale."""
    highest_mel = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest_mel, count + 1, dtype=torch.float64) / 2595) - 1)
    time = torch.arange(FILTER_LENGTH, dtype=torch.float64) - FILTER_LENGTH // 2
    cutoff = (2 * edges / SAMPLE_RATE).unsqueeze(1)  # in units of half the sample rate
    low_pass = cutoff * torch.sinc(cutoff * time)
    window = torch.hamming_window(FILTER_LENGTH, periodic=False, dtype=torch.float64)
    return (low_pass.diff(dim=0) * window).float()


class ResidualBlock(nn.Module):
    """Two convolutions over 2 bins x 3 frames beside a shortcut, then pooling over three frames.

    All blocks but the first own a normalisation of what comes in, which the official forward pass computes and does
    not use. It is kept, neither computed nor trained, so that official weights fit one to one.

    Args:
        channels: channels of the maps that come in.
        width: channels of the maps that go out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        if channels > 1:
            self.norm1 = nn.BatchNorm2d(channels).requires_grad_(False)
        self.conv1 = nn.Conv2d(channels, width, kernel_size=(2, 3), padding=(1, 1))
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=(2, 3), padding=(0, 1))
        same = channels == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, width, kernel_size=(1, 3), padding=(0, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps ``(B, width, F, L // 3)`` from maps ``(B, channels, F, L)``."""
        new = self.conv2(functional.selu(self.norm2(self.conv1(maps)), inplace=True))
        return functional.max_pool2d(new.add_(self.shortcut(maps)), (1, POOL))


class Branch(nn.Module):
    """Heterogeneous attention, pooling, and once more on top: one of the two ways of the max graph operation.

    Args:
        dim: components of the nodes that come in.
        out_dim: components of the nodes that go out.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.stack = nn.Parameter(torch.randn(1, 1, dim))
        self.first = HeterogeneousAttention(dim, out_dim, TEMPERATURES[1])
        self.temporal_pool = GraphPool(out_dim, JOINT_PERCENT)
        self.spectral_pool = GraphPool(out_dim, JOINT_PERCENT)
        self.second = HeterogeneousAttention(out_dim, out_dim, TEMPERATURES[1])
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, temporal: Tensor, spectral: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Temporal nodes ``(B, N, E)``, spectral nodes ``(B, M, E)`` and stack node ``(B, 1, E)``."""
        temporal, spectral, stack = self.first(temporal, spectral, self.stack)
        nodes = (self.temporal_pool(temporal), self.spectral_pool(spectral), stack)
        more = self.second(*nodes)
        first, second, third = (self.dropout(old + new) for old, new in zip(nodes, more, strict=True))
        return first, second, third
