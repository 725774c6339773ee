"""A discriminator of spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from deepfake_lab.synthesis.neural.losses import Judgement, Resolution, magnitudes

_STRIDES = ((2, 1), (2, 2), (2, 2))
"""Of the convolutions, in (frequency, time)."""


class MultiResolutionDiscriminator(nn.Module):
    """Small convolutional networks, each on the log magnitudes of one resolution.

    After the multi-resolution spectrogram discriminator of UnivNet (Jang et al., Interspeech 2021), narrower and with
    strides in frequency, since on a processor it would else cost several times what a small generator does.

    Args:
        channels: of the convolutions.
        resolutions: each a length, a hop and a window in samples.
    """

    def __init__(
        self,
        channels: int = 8,
        resolutions: Sequence[Sequence[int]] = ((1024, 256, 1024), (512, 128, 512), (256, 64, 256)),
    ) -> None:
        super().__init__()
        self.resolutions = [Resolution(*resolution) for resolution in resolutions]
        self.networks = nn.ModuleList(_Network(channels) for _ in resolutions)

    def forward(self, wave: Tensor) -> Judgement:
        """Judges waveforms ``(B, T)``."""
        scores: list[Tensor] = []
        features: list[Tensor] = []
        for resolution, network in zip(self.resolutions, self.networks, strict=True):
            score, inner = network(magnitudes(wave, resolution).log())
            scores.append(score)
            features += inner
        return Judgement(scores, features)


class _Network(nn.Module):
    """Judges log magnitudes ``(B, F, L)``: a score of each region, and the outputs of all layers before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [1, *[channels] * len(_STRIDES)]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (7, 3), stride, padding=(3, 1)))
            for before, after, stride in zip(widths, widths[1:], _STRIDES, strict=False)
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, log_magnitudes: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden, features = log_magnitudes.unsqueeze(1), []
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), 0.2)
            features.append(hidden)
        return self.score(hidden), features
