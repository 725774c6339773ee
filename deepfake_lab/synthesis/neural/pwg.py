"""Parallel WaveGAN: a waveform out of noise, by a WaveNet that is told a mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.synthesis.neural.convnext import ConvNeXt
from deepfake_lab.synthesis.neural.generator import Generator, LogMel
from deepfake_lab.synthesis.neural.wavenet import WaveNet, along
from deepfake_lab.types import SAMPLE_RATE, LabError


class ParallelWaveGan(Generator):
    """Gaussian noise through a non-causal WaveNet (Yamamoto, Song & Kim, ICASSP 2020).

    Two things let it learn in minutes: the WaveNet runs on folded samples, and what it makes is brought to the level
    that each frame tells, which it need not learn. The noise is torch's: seed it.

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        hop: distance of frames, in samples.
        width: channels of the network over frames.
        channels: of the WaveNet.
        layers: of the WaveNet.
        cycle: layers after which dilations begin at 1 again.
        fold: samples that the WaveNet takes at a time; it divides the hop.
        rate: at which it works, in Hz.

    Raises:
        LabError: the hop is no multiple of the fold, or the fold is odd and not 1.
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        n_fft: int = 1024,
        hop: int = 256,
        width: int = 96,
        channels: int = 32,
        layers: int = 10,
        cycle: int = 5,
        fold: int = 8,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(LogMel(n_mels, n_fft, hop, rate))
        check_fold(fold, hop)
        self.conditions = ConvNeXt(n_mels, width, 2, 3, 2 * channels * layers)
        self.wavenet = WaveNet(channels, layers, cycle, fold)

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        length = (features.shape[-1] - 1) * self.hop
        noise = torch.randn(len(features), length, device=features.device)
        made: Tensor = self.wavenet(noise, self.conditions(features))
        return made * along(self.mel.level(features), length).squeeze(1)


def check_fold(fold: int, hop: int) -> None:
    """Refuses samples that cannot be folded.

    Raises:
        LabError: the hop is no multiple of the fold, or the fold is odd and not 1.
    """
    if hop % fold or (fold % 2 and fold != 1):
        raise LabError(f"vocoder.fold={fold}: must be even, or 1, and divide the hop of {hop} samples.")
