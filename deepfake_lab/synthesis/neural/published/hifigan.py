"""HiFi-GAN's generator as published: V1 and V2, with residual blocks of the first kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.synthesis.neural.generator import Generator, LogMel

_DILATIONS = (1, 3, 5)
_SLOPE, _LAST_SLOPE = 0.1, 0.01  # of the leaky ReLU between layers, and before the last


class PublishedHifiGan(Generator):
    """Brings the frames of a mel spectrogram to the rate of samples by steps.

    What the lab trains itself is `deepfake_lab.synthesis.neural.hifigan.HifiGan`, of half as many layers.

    Args:
        n_mels: bands of the mel spectrogram, up to 8 kHz.
        kernels: of the transposed convolutions, each twice as wide as it is long in samples.
        channels: before the first step; each halves them.
        residual_kernels: width of the convolutions of each parallel stack.
        rate: at which it works, in Hz.

    Source:
        Kong et al., "HiFi-GAN: Generative adversarial networks for efficient and high fidelity speech synthesis",
        NeurIPS 2020.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        kernels: Sequence[int],
        channels: int,
        residual_kernels: Sequence[int],
        rate: int = 22_050,
    ) -> None:
        factors = [kernel // 2 for kernel in kernels]
        super().__init__(LogMel(n_mels, 1024, math.prod(factors), rate, slaney=True))
        widths = [channels // 2**step for step in range(len(factors) + 1)]
        self.conv_pre = nn.Conv1d(n_mels, channels, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, wide // 2, 2 * factor, factor, padding=factor // 2)
            for wide, factor in zip(widths, factors, strict=False)
        )
        self.resblocks = nn.ModuleList(_Block(width, kernel) for width in widths[1:] for kernel in residual_kernels)
        self.conv_post = nn.Conv1d(widths[-1], 1, 7, padding=3)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        hidden = self.conv_pre(features)
        parallel = len(self.resblocks) // len(self.ups)
        for step, upsampled in enumerate(self.ups):
            hidden = upsampled(functional.leaky_relu(hidden, _SLOPE))
            blocks = self.resblocks[step * parallel : (step + 1) * parallel]
            hidden = torch.stack([block(hidden) for block in blocks]).mean(dim=0)
        return self.centred(torch.tanh(self.conv_post(functional.leaky_relu(hidden, _LAST_SLOPE))).squeeze(1))


class _Block(nn.Module):
    """A dilated and a plain convolution, three times."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_convolution(channels, kernel, dilation) for dilation in _DILATIONS)
        self.convs2 = nn.ModuleList(_convolution(channels, kernel, 1) for _ in _DILATIONS)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, C, L)`` to the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            inner = dilated(functional.leaky_relu(hidden, _SLOPE))
            hidden = hidden + plain(functional.leaky_relu(inner, _SLOPE))
        return hidden


def _convolution(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)


def hifigan_settings(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `PublishedHifiGan` that fit published tensors; the rate is no part of them."""
    kernels = [tensor.shape[-1] for name, tensor in tensors.items() if _is(name, "ups.", ".weight")]
    blocks = [tensor.shape[-1] for name, tensor in tensors.items() if _is(name, "resblocks.", ".convs1.0.weight")]
    channels, n_mels, _ = tensors["conv_pre.weight"].shape
    residual_kernels = blocks[: len(blocks) // len(kernels)]
    return {"n_mels": n_mels, "kernels": kernels, "channels": channels, "residual_kernels": residual_kernels}


def _is(name: str, beginning: str, end: str) -> bool:
    return name.startswith(beginning) and name.endswith(end)
