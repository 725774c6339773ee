"""Griffin-Lim: phase estimated from a mel spectrogram (Griffin & Lim, IEEE Trans. ASSP 32(2), 1984)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder
from deepfake_lab.types import SAMPLE_RATE


@dataclass(frozen=True)
class GriffinLim(Vocoder):
    """Copies speech through a mel bottleneck and estimates the lost phase from a random start.

    Args:
        n_mels: mel bands of the bottleneck.
        n_fft: window in samples at 16 kHz.
        hop: hop in samples.
        n_iter: iterations of the "fast" Griffin-Lim algorithm (Perraudin et al., WASPAA 2013).
    """

    n_mels: int = 80
    n_fft: int = 1024
    hop: int = 256
    n_iter: int = 32
    families: ClassVar[tuple[str, ...]] = ("phase", "mel")

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        import torch
        from torchaudio import transforms

        to_spectrum = transforms.Spectrogram(self.n_fft, hop_length=self.hop)
        to_mel = transforms.MelScale(self.n_mels, SAMPLE_RATE, n_stft=self.n_fft // 2 + 1)
        from_mel = transforms.InverseMelScale(self.n_fft // 2 + 1, self.n_mels, SAMPLE_RATE)
        to_wave = transforms.GriffinLim(self.n_fft, self.n_iter, hop_length=self.hop, length=len(wave))
        power = from_mel(to_mel(to_spectrum(torch.from_numpy(wave))))
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it was
            torch.manual_seed(seed)
            copied: Wave = to_wave(power).numpy()
        return copied
