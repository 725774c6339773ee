"""ConvNeXt blocks over frames (Liu et al., CVPR 2022, in one dimension as in Vocos)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_KERNEL = 7


class ConvNeXt(nn.Module):
    """A convolution, residual blocks at the rate of frames, and a linear layer: ``(B, C, L) -> (B, out, L)``.

    Args:
        channels: of the input.
        width: channels of the blocks.
        layers: number of blocks.
        expansion: how many times wider a block is inside.
        out: channels of the output.
    """

    def __init__(self, channels: int, width: int, layers: int, expansion: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Conv1d(channels, width, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.Sequential(*(_Block(width, expansion, 1 / layers) for _ in range(layers)))
        self.last_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out)
        nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, C, L)`` to ``(B, out, L)``."""
        hidden = self.norm(self.embed(features).mT)
        output: Tensor = self.head(self.last_norm(self.blocks(hidden))).mT
        return output


class _Block(nn.Module):
    """A convolution of each channel, then two layers on each frame: ``(B, L, width)`` to the same shape."""

    def __init__(self, width: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, hidden: Tensor) -> Tensor:
        inside = self.expand(self.norm(self.depthwise(hidden.mT).mT))
        output: Tensor = hidden + self.scale * self.contract(functional.gelu(inside))
        return output
