"""MelGAN's generator as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.synthesis.neural.generator import Generator, LogMel

_FACTORS = (8, 8, 2, 2)
_SLOPE = 0.2
_DILATIONS = (1, 3, 9)
_REACH = 3  # frames that the first and the last layer hear to both sides


class PublishedMelGan(Generator):
    """Brings the frames of a mel spectrogram to the rate of samples by steps of 8, 8, 2 and 2.

    What the lab trains itself is the ``vocoder=melgan`` of `deepfake_lab.synthesis.neural.hifigan`.

    Args:
        n_mels: bands of the mel spectrogram, up to 8 kHz.
        channels: before the first step; each halves them.
        rate: at which it works, in Hz.

    Source:
        Kumar et al., "MelGAN: Generative adversarial networks for conditional waveform synthesis", NeurIPS 2019; the
        layers and the scale of the features are those of the repository seungwonpark/melgan.
    """

    def __init__(self, *, n_mels: int = 80, channels: int = 512, rate: int = 22_050) -> None:
        super().__init__(LogMel(n_mels, 1024, 256, rate, slaney=True))
        layers: list[nn.Module] = [nn.ReflectionPad1d(_REACH), nn.Conv1d(n_mels, channels, 2 * _REACH + 1)]
        for factor in _FACTORS:
            upsampled = nn.ConvTranspose1d(channels, channels // 2, 2 * factor, factor, padding=factor // 2)
            channels //= 2
            layers += [nn.LeakyReLU(_SLOPE), upsampled, _Stack(channels)]
        last = nn.Conv1d(channels, 1, 2 * _REACH + 1)
        layers += [nn.LeakyReLU(_SLOPE), nn.ReflectionPad1d(_REACH), last, nn.Tanh()]
        self.generator = nn.Sequential(*layers)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        frames = features.shape[-1]
        if frames <= _REACH:  # too few to be reflected
            features = functional.pad(features, (0, _REACH + 1 - frames), mode="replicate")
        return self.centred(self.generator(features / 5 + 1).squeeze(1)[..., : frames * self.hop])


class _Stack(nn.Module):
    """Residual blocks whose shortcuts are convolutions too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(_SLOPE),
                nn.ReflectionPad1d(dilation),
                nn.Conv1d(channels, channels, 3, dilation=dilation),
                nn.LeakyReLU(_SLOPE),
                nn.Conv1d(channels, channels, 1),
            )
            for dilation in _DILATIONS
        )
        self.shortcuts = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in _DILATIONS)

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, C, L)`` to the same shape."""
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            hidden = shortcut(hidden) + block(hidden)
        return hidden


def melgan_settings(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `PublishedMelGan` that fit published tensors."""
    channels, n_mels, _ = tensors["generator.1.weight"].shape
    return {"n_mels": n_mels, "channels": channels}
