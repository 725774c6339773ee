"""Non-causal WaveNet: gated dilated convolutions over folded samples, told what to do by frames."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class GatedStack(nn.Module):
    """Gated convolutions whose dilations double (van den Oord et al., "WaveNet", 2016), without its causality.

    Args:
        channels: of each layer.
        layers: number of them.
        cycle: layers after which dilations begin at 1 again.
    """

    def __init__(self, channels: int, layers: int, cycle: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(channels, 2 ** (number % cycle)) for number in range(layers))

    def forward(self, hidden: Tensor, conditions: Tensor) -> Tensor:
        """Sum of what the layers say, ``(B, C, N)``, of ``(B, C, N)`` and conditions ``(B, 2 * C * layers, L + 1)``."""
        said = []
        for layer, told in zip(self.layers, conditions.chunk(len(self.layers), dim=1), strict=True):
            hidden, skipped = layer(hidden, along(told, hidden.shape[-1]))
            said.append(skipped)
        return torch.stack(said).sum(dim=0) / math.sqrt(len(said))


class WaveNet(nn.Module):
    """A `GatedStack` between two learned filter banks, so that it runs at a fraction of the rate of samples.

    At the rate of samples itself, as published, a step of training would take a processor many seconds: there,
    ``fold=1`` is for graphics cards.

    Args:
        channels: of each layer.
        layers: number of them.
        cycle: layers after which dilations begin at 1 again.
        fold: samples that one column stands for; it divides the number of samples.
    """

    def __init__(self, channels: int, layers: int, cycle: int, fold: int) -> None:
        super().__init__()
        padding = 3 * fold // 2  # of filters as long as four columns
        self.split = nn.Conv1d(1, channels, 4 * fold, fold, padding=padding)
        self.stack = GatedStack(channels, layers, cycle)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.join = nn.ConvTranspose1d(channels, 1, 4 * fold, fold, padding=padding)

    def forward(self, wave: Tensor, conditions: Tensor) -> Tensor:
        """Waveforms ``(B, T)`` of waveforms ``(B, T)`` and conditions ``(B, 2 * C * layers, L + 1)``."""
        hidden = self.stack(self.split(wave.unsqueeze(1)), conditions)
        made: Tensor = self.join(functional.relu(self.mix(functional.relu(hidden)))).squeeze(1)
        return made[..., : wave.shape[-1]]


def along(frames: Tensor, length: int) -> Tensor:
    """Lines between frames ``(B, C, L + 1)``, at `length` points, equally many a frame: ``(B, C, length)``."""
    return functional.interpolate(frames, length + 1, mode="linear", align_corners=True)[..., :-1]


class _Layer(nn.Module):
    """A gated convolution: what goes on to the next layer and what is said aloud, each ``(B, C, N)``."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, hidden: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        wave, gate = (self.dilated(hidden) + told).chunk(2, dim=1)
        residual, skipped = self.mix(torch.tanh(wave) * torch.sigmoid(gate)).chunk(2, dim=1)
        return (hidden + residual) * math.sqrt(0.5), skipped
