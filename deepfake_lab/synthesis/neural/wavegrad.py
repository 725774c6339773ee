"""A diffusion vocoder: a waveform out of noise, in a few steps that each remove a part of it."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from deepfake_lab.synthesis.neural.convnext import ConvNeXt
from deepfake_lab.synthesis.neural.generator import Generator, Likeness, LogMel
from deepfake_lab.synthesis.neural.pwg import check_fold
from deepfake_lab.synthesis.neural.wavenet import WaveNet, along
from deepfake_lab.types import SAMPLE_RATE

_OCTAVES = 5  # of sines and cosines that tell the network how noisy its input is


class WaveGrad(Generator):
    """Denoises with a continuous noise level (Chen et al., "WaveGrad", ICLR 2021).

    The network is a WaveNet as in DiffWave (Kong et al., ICLR 2021). Three things let it learn in minutes: noise has
    the level that each frame tells (Lee et al., "PriorGrad", ICLR 2022), the network predicts the velocity, noise and
    waveform mixed (Salimans & Ho, ICLR 2022, appendix D), and the waveform which that amounts to is also to be like the
    original. The noise is torch's: seed it.

    Args:
        n_mels: bands of the mel spectrogram.
        n_fft: window of the mel spectrogram, in samples.
        hop: distance of frames, in samples.
        width: channels of the network over frames.
        channels: of the WaveNet.
        layers: of the WaveNet.
        cycle: layers after which dilations begin at 1 again.
        fold: samples that the WaveNet takes at a time; it divides the hop.
        steps: of denoising.
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
        channels: int = 40,
        layers: int = 10,
        cycle: int = 5,
        fold: int = 8,
        steps: int = 6,
        rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(LogMel(n_mels, n_fft, hop, rate))
        check_fold(fold, hop)
        self.steps = steps
        self.conditions = ConvNeXt(n_mels + 2 * _OCTAVES, width, 2, 3, 2 * channels * layers)
        self.wavenet = WaveNet(channels, layers, cycle, fold)

    def objective(self, original: Tensor, likeness: Likeness) -> tuple[Tensor, dict[str, Tensor]]:
        """Denoises once, from a drawn noise level a waveform; see `Generator.objective`."""
        with torch.no_grad():
            wave = self.heard(original)
            features = self.analyse(wave)
        level = self._level(features)
        clean, noise = wave / level, torch.randn_like(wave)
        angle = torch.rand(len(wave), 1, device=wave.device) * (math.pi / 2)
        noisy = torch.cos(angle) * clean + torch.sin(angle) * noise
        velocity = self._velocity(noisy, angle, features)
        true = torch.cos(angle) * noise - torch.sin(angle) * clean
        copied = self.returned((torch.cos(angle) * noisy - torch.sin(angle) * velocity) * level, original.shape[-1])
        return copied, {"stft": likeness(copied, original), "velocity": (velocity - true).abs().mean()}

    def generate(self, features: Tensor) -> Tensor:
        """See `Generator.generate`."""
        level = self._level(features)
        noisy = torch.randn_like(level)
        angles = torch.linspace(math.pi / 2, 0, self.steps + 1, device=level.device)
        for now, then in pairwise(angles):
            velocity = self._velocity(noisy, now.expand(len(level), 1), features)
            clean = torch.cos(now) * noisy - torch.sin(now) * velocity
            noise = torch.sin(now) * noisy + torch.cos(now) * velocity
            # the variance of a step of the Markov chain (Song, Meng & Ermon, ICLR 2021, equation 16, eta = 1)
            ratio = torch.tan(then) / torch.tan(now)
            fresh = torch.sin(then) * torch.sqrt(torch.clamp(1 - ratio.square(), min=0))
            kept = torch.sqrt(torch.clamp(torch.sin(then).square() - fresh.square(), min=0))
            noisy = torch.cos(then) * clean + kept * noise + fresh * torch.randn_like(noise)
        return noisy * level

    def _level(self, features: Tensor) -> Tensor:
        return along(self.mel.level(features), (features.shape[-1] - 1) * self.hop).squeeze(1)

    def _velocity(self, noisy: Tensor, angle: Tensor, features: Tensor) -> Tensor:
        """Prediction ``(B, T)`` for noisy waveforms ``(B, T)`` whose noise level is the sine of angles ``(B, 1)``."""
        turned = angle * 2.0 ** torch.arange(_OCTAVES, device=angle.device)
        told = torch.cat([torch.sin(turned), torch.cos(turned)], dim=1).unsqueeze(-1).expand(-1, -1, features.shape[-1])
        predicted: Tensor = self.wavenet(noisy, self.conditions(torch.cat([features, told], dim=1)))
        return predicted
