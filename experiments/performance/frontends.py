"""Times the front-ends `mel` and `mfcc` on the CPU against torchaudio's transforms with the same parameters."""

import torch
import torchaudio
from bench import Measurement, medians, report

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc

BOUND = 1.3
"""Longest time of engine=auto allowed, in units of torchaudio's."""
BATCH, SAMPLES, REPEATS = 32, 64_000, 40


def log_mel(wave):
    """torchaudio's mel spectrogram and a logarithm."""
    return torch.log(MEL(wave) + 1e-6)


SLANEY = {"norm": "slaney", "mel_scale": "slaney"}
MEL = torchaudio.transforms.MelSpectrogram(16_000, 1024, 640, 320, n_mels=128, **SLANEY)
MFCC = torchaudio.transforms.MFCC(
    16_000, 40, log_mels=True, melkwargs={"n_fft": 512, "hop_length": 256, "n_mels": 80, **SLANEY}
)
CANDIDATES = {
    "mel": {"torchaudio": log_mel, "auto": Mel(), "nnaudio": Mel(engine="nnaudio")},
    "mfcc": {"torchaudio": MFCC, "auto": Mfcc(), "nnaudio": Mfcc(engine="nnaudio")},
}


@torch.inference_mode()
def measure():
    """Ratios to torchaudio's time; only engine=auto has a bound, as nnAudio is meant for GPUs."""
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(BATCH, SAMPLES)
    measurements = []
    for frontend, transforms in CANDIDATES.items():
        candidates = {name: lambda transform=transform: transform(wave) for name, transform in transforms.items()}
        seconds = medians(candidates, REPEATS)
        for engine, bound in (("auto", BOUND), ("nnaudio", None)):
            figures = f"{1e3 * seconds[engine]:.1f} ms, torchaudio {1e3 * seconds['torchaudio']:.1f} ms"
            ratio = seconds[engine] / seconds["torchaudio"]
            measurements.append(Measurement(f"{frontend}, engine={engine}", ratio, "x", bound, figures=figures))
    return measurements


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
