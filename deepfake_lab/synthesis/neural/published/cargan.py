"""CARGAN's generator as published: one chunk of samples after another, each told the end of the last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.synthesis.neural.generator import Generator, LogMel

_HOP, _FRAMES = 256, 8  # samples a frame, frames a chunk
_TOLD = 512  # samples of the last chunk
_HIDDEN, _CONTEXT = 256, 128  # width of what makes a context of them, and of the context
_STEPS = ((1, 1), (1, 1), (2, 4), (1, 4), (1, 4), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1))
"""Of each block: by how much it divides the channels, and multiplies the samples."""


class PublishedCarGan(Generator):
    """A GAN that is autoregressive by chunks of 2,048 samples.

    Args:
        n_mels: bands of the mel spectrogram, up to half the rate.
        channels: of the first block.
        rate: at which it works, in Hz.

    Source:
        Morrison et al., "Chunked autoregressive GAN for conditional waveform synthesis", ICLR 2022.
    """

    def __init__(self, *, n_mels: int = 80, channels: int = 768, rate: int = 22_050) -> None:
        super().__init__(LogMel(n_mels, 1024, _HOP, rate, slaney=True, top_hz=rate / 2))
        blocks: list[nn.Module] = [nn.Conv1d(n_mels + _CONTEXT, channels, 1)]
        for divisor, factor in _STEPS:
            blocks.append(_Block(channels, channels // divisor, factor))
            channels //= divisor
        self.gblocks = nn.Sequential(*blocks)
        self.last_conv = nn.Sequential(nn.ReLU(), nn.Conv1d(channels, 1, 3, padding=1))
        self.ar_model = _Context()

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        scaled = features / math.log(10)  # the authors' logarithm is to base 10
        told = features.new_zeros(len(features), _TOLD)
        chunks = []
        for chunk in torch.split(functional.pad(scaled, (0, -features.shape[-1] % _FRAMES)), _FRAMES, dim=-1):
            context = self.ar_model(told)[..., None].expand(-1, -1, _FRAMES)
            made = torch.tanh(self.last_conv(self.gblocks(torch.cat([chunk, context], dim=1)))).squeeze(1)
            told = made[:, -_TOLD:]
            chunks.append(made)
        return self.centred(torch.cat(chunks, dim=-1)[..., : features.shape[-1] * _HOP])


class _Block(nn.Module):
    """Two residual blocks, of dilations 1 and 3, and 9 and 27; upsampling, if any, comes first."""

    def __init__(self, channels: int, outputs: int, factor: int) -> None:
        super().__init__()
        wider: list[nn.Module] = [nn.Upsample(scale_factor=factor)] if factor > 1 else []
        first = _convolution(channels, outputs, 1)
        self.conv1 = nn.Sequential(nn.ReLU(), *wider, first, nn.ReLU(), _convolution(outputs, outputs, 3))
        self.res1 = nn.Sequential(*wider, nn.Conv1d(channels, outputs, 1))
        self.conv2 = nn.Sequential(
            nn.ReLU(), _convolution(outputs, outputs, 9), nn.ReLU(), _convolution(outputs, outputs, 27)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, C, L)`` to ``(B, C', factor * L)``."""
        hidden = self.conv1(hidden) + self.res1(hidden)
        deeper: Tensor = self.conv2(hidden)
        return hidden + deeper


class _Context(nn.Module):
    """The end of the last chunk ``(B, 512)`` as a context ``(B, 128)``."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (_TOLD, *[_HIDDEN] * 4)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.1))]
        self.model = nn.Sequential(*layers, nn.Linear(_HIDDEN, _CONTEXT))

    def forward(self, told: Tensor) -> Tensor:
        """See the class."""
        context: Tensor = self.model(told)
        return context


def _convolution(channels: int, outputs: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, outputs, 3, dilation=dilation, padding=dilation)


def cargan_settings(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `PublishedCarGan` that fit published tensors."""
    channels, inputs, _ = tensors["gblocks.0.weight"].shape
    return {"n_mels": inputs - _CONTEXT, "channels": channels}
