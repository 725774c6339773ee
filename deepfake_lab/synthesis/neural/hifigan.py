"""Transposed convolutions and dilated residual blocks: generators in the manner of MelGAN and HiFi-GAN."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from deepfake_lab.synthesis.neural.generator import Generator, LogMel
from deepfake_lab.types import SAMPLE_RATE, LabError

Activation = Literal["leaky_relu", "snake"]


class Upsampler(Generator):
    """Brings the frames of a mel spectrogram by steps to the rate of samples, or near it.

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        factors: of upsampling.
        channels: before the first step; each halves them.
        residual_kernels: width of the convolutions of each parallel stack.
        dilations: of the convolutions in a stack, one after another.
        activation: "leaky_relu" or "snake".
        rate: at which it works, in Hz.
        outputs: numbers that each column in the end has.
        samples: that each column stands for; with the product of the factors they make the hop, an even number.

    Raises:
        LabError: the factors make an odd hop, or the channels cannot be halved as often.
    """

    def __init__(
        self,
        *,
        n_mels: int,
        n_fft: int,
        factors: Sequence[int],
        channels: int,
        residual_kernels: Sequence[int],
        dilations: Sequence[int],
        activation: Activation,
        rate: int,
        outputs: int,
        samples: int,
    ) -> None:
        hop = math.prod(factors) * samples
        if hop % 2 or channels % 2 ** len(factors):
            what = f"a hop of {hop} samples, {channels} channels halved {len(factors)} times"
            raise LabError(f"vocoder.factors={list(factors)}: {what}. The hop must be even, the channels whole.")
        super().__init__(LogMel(n_mels, n_fft, hop, rate))
        self.first = weight_norm(nn.Conv1d(n_mels, channels, 7, padding=3))
        steps: list[nn.Module] = []
        for factor in factors:
            steps += [_activation(activation, channels), _upsampling(channels, factor)]
            channels //= 2
            steps.append(_Residual(channels, residual_kernels, dilations, activation))
        self.steps = nn.Sequential(*steps)
        self.last = weight_norm(nn.Conv1d(channels, outputs, 7, padding=3))
        self.activation = _activation(activation, channels)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        return self.centred(self.joined(self.last(self.activation(self.steps(self.first(features))))))

    @abstractmethod
    def joined(self, columns: Tensor) -> Tensor:
        """Waveforms ``(B, N * samples)`` of columns ``(B, outputs, N)``."""


class HifiGan(Upsampler):
    """Brings the frames of a mel spectrogram to the rate of samples by steps.

    MelGAN (Kumar et al., NeurIPS 2019) has one residual stack after each step, HiFi-GAN (Kong et al., NeurIPS 2020) the
    mean of several with kernels of different widths. Snake is of BigVGAN (Lee et al., ICLR 2023), here without its
    filters against aliasing.

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        factors: of upsampling; their product is the hop, an even number.
        channels: before the first step; each halves them.
        residual_kernels: width of the convolutions of each parallel stack.
        dilations: of the convolutions in a stack, one after another.
        activation: "leaky_relu" or "snake".
        rate: at which it works, in Hz.

    Raises:
        LabError: the factors make an odd hop, or the channels cannot be halved as often.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        factors: Sequence[int] = (8, 8, 4),
        channels: int = 128,
        residual_kernels: Sequence[int] = (3, 7),
        dilations: Sequence[int] = (1, 3, 5),
        activation: Activation = "leaky_relu",
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            n_mels=n_mels,
            n_fft=n_fft,
            factors=factors,
            channels=channels,
            residual_kernels=residual_kernels,
            dilations=dilations,
            activation=activation,
            rate=rate,
            outputs=1,
            samples=1,
        )

    def joined(self, columns: Tensor) -> Tensor:
        """See `Upsampler.joined`."""
        return torch.tanh(columns).squeeze(1)


class _Residual(nn.Module):
    """The mean of residual stacks whose convolutions differ in width."""

    def __init__(self, channels: int, kernels: Sequence[int], dilations: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                nn.Sequential(_activation(activation, channels), _convolution(channels, kernel, dilation))
                for dilation in dilations
            )
            for kernel in kernels
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, C, L)`` to the same shape."""
        outputs = []
        for stack in self.stacks:
            output = hidden
            for layer in stack:  # type: ignore[attr-defined]  # a ModuleList forgets what it holds
                output = output + layer(output)
            outputs.append(output)
        return torch.stack(outputs).mean(dim=0)


class _Snake(nn.Module):
    """``x + sin(alpha x)^2 / alpha`` with a learned alpha a channel (Ziyin et al., NeurIPS 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, C, L)`` to the same shape."""
        alpha = self.log_alpha.exp()
        return hidden + torch.sin(alpha * hidden).square() / alpha


def _activation(name: Activation, channels: int) -> nn.Module:
    return _Snake(channels) if name == "snake" else nn.LeakyReLU(0.1)


def _convolution(channels: int, kernel: int, dilation: int) -> nn.Module:
    padding = dilation * (kernel - 1) // 2
    made: nn.Module = weight_norm(nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding))
    return made


def _upsampling(channels: int, factor: int) -> nn.Module:
    """Makes `factor` samples of each, and half as many channels."""
    odd = factor % 2
    padding = factor // 2 + odd
    made: nn.Module = weight_norm(
        nn.ConvTranspose1d(channels, channels // 2, 2 * factor, factor, padding=padding, output_padding=odd)
    )
    return made
