"""Times every front-end on the CPU against public ways to the same numbers: torchaudio, librosa, nnAudio, torch."""

import functools
import warnings

import librosa
import numpy as np
import torch
import torchaudio
from bench import Measurement, medians, report
from nnAudio.features.cqt import CQT1992v2, CQT2010v2
from nnAudio.features.mel import MFCC as NnAudioMFCC
from nnAudio.features.mel import MelSpectrogram as NnAudioMel
from nnAudio.features.stft import STFT as NnAudioSTFT
from torchaudio import functional

from deepfake_lab.frontends.cqt import Cqt
from deepfake_lab.frontends.lfcc import Lfcc
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc
from deepfake_lab.frontends.phase import Phase
from deepfake_lab.frontends.post import Post
from deepfake_lab.frontends.raw import Raw
from deepfake_lab.frontends.spectral_flux import SpectralFlux
from deepfake_lab.frontends.stack import Stack
from deepfake_lab.frontends.stft import Stft

BOUND = 1.3
"""Longest time allowed, in units of the fastest public way."""
BATCH, SAMPLES, REPEATS = 32, 64_000, 9
SLANEY = {"norm": "slaney", "mel_scale": "slaney"}
CQT = {"hop_length": 256, "fmin": 62.5, "n_bins": 84, "bins_per_octave": 12}

torchaudio_mel = torchaudio.transforms.MelSpectrogram(16_000, 1024, 640, 320, n_mels=128, **SLANEY)
torchaudio_mel_80 = torchaudio.transforms.MelSpectrogram(16_000, 512, 512, 256, n_mels=80, **SLANEY)
torchaudio_mfcc = torchaudio.transforms.MFCC(
    16_000, 40, log_mels=True, melkwargs={"n_fft": 512, "hop_length": 256, "n_mels": 80, **SLANEY}
)
torchaudio_power = torchaudio.transforms.Spectrogram(512, 512, 256)
nnaudio_mel = NnAudioMel(16_000, 1024, 640, 128, 320, verbose=False)
nnaudio_mfcc = NnAudioMFCC(16_000, 40, n_fft=512, hop_length=256, n_mels=80, verbose=False)
nnaudio_stft = NnAudioSTFT(512, hop_length=256, verbose=False)
cqt_1992 = CQT1992v2(16_000, **CQT, pad_mode="constant", verbose=False)
cqt_2010 = CQT2010v2(16_000, **CQT, pad_mode="constant", earlydownsample=False, verbose=False)

LFCC_WINDOW, LFCC_FILTERS = torch.hamming_window(320), functional.linear_fbanks(513, 0.0, 4000.0, 20, 16_000).T
LFCC_COSINES = functional.create_dct(20, 20, "ortho").T
HANN = torch.hann_window(512)
SLOPE = torch.pi / 512 * torch.sin(2 * torch.pi * torch.arange(512) / 512)


def logarithm(power):
    """What follows every power spectrum."""
    return torch.log(power + 1e-6)


def torchaudio_lfcc(wave):
    """The LFCC of ASVspoof 2021 out of torchaudio's functions."""
    emphasised = functional.preemphasis(wave, 0.97)
    power = functional.spectrogram(emphasised, 0, LFCC_WINDOW, 1024, 160, 320, power=2.0, normalized=False)
    cepstra = LFCC_COSINES @ torch.log10(LFCC_FILTERS @ power + 1e-4)
    cepstra[:, 0] = torch.log10(power.sum(dim=1) / 1024 + 1e-4)
    deltas = functional.compute_deltas(cepstra, win_length=3)
    return torch.cat([cepstra, deltas, functional.compute_deltas(deltas, win_length=3)], dim=1)


def torchaudio_flux(wave):
    """Rectified difference of torchaudio's log-mel spectrum, in pairs of filters."""
    rise = logarithm(torchaudio_mel_80(wave)).diff(dim=-1).clamp(min=0)
    return rise.unflatten(1, (40, 2)).mean(dim=2)


def librosa_flux(wave):
    """librosa's onset strength in sub-bands."""
    power = librosa.feature.melspectrogram(y=wave.numpy(), sr=16_000, n_fft=512, hop_length=256, n_mels=80)
    return librosa.onset.onset_strength_multi(S=np.log(power + 1e-6), center=False, channels=list(range(0, 81, 2)))


def torch_phase(wave):
    """Instantaneous frequency deviation from two complex transforms."""
    stft = functools.partial(torch.stft, wave, 512, 256, 512, pad_mode="reflect", return_complex=True)
    deviation = -(stft(window=SLOPE) / stft(window=HANN)).imag
    return deviation / torch.hypot(deviation, torch.tensor(0.00709))


def librosa_phase(wave):
    """librosa's frequency reassignment; it takes one waveform at a time."""
    options = {"sr": 16_000, "n_fft": 512, "hop_length": 256, "reassign_times": False, "fill_nan": True, "clip": False}
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return [librosa.reassigned_spectrogram(row, **options)[0] for row in wave.numpy()]


def librosa_cqt(wave):
    """librosa's constant-Q transform, in octaves of ever lower sampling rate."""
    return np.log(np.abs(librosa.cqt(wave.numpy(), sr=16_000, **CQT, tuning=0.0)) ** 2 + 1e-7)


def public_stack(wave):
    """The quickest of each part, joined."""
    parts = (torchaudio_mfcc(wave), torch.from_numpy(librosa_cqt(wave)), torchaudio_flux(wave))
    frames = min(part.shape[-1] for part in parts)
    return torch.cat([part[..., :frames] for part in parts], dim=1)


FRONTENDS = {
    "mel": (
        Mel(),
        {
            "torchaudio": lambda wave: logarithm(torchaudio_mel(wave)),
            "nnAudio": lambda wave: logarithm(nnaudio_mel(wave)),
        },
    ),
    "mfcc": (Mfcc(), {"torchaudio": torchaudio_mfcc, "nnAudio": nnaudio_mfcc}),
    "lfcc": (Lfcc(post=Post(deltas=2)), {"torchaudio": torchaudio_lfcc}),
    "cqt": (
        Cqt(),
        {
            "librosa": librosa_cqt,
            "nnAudio 1992": lambda wave: logarithm(cqt_1992(wave).square()),
            "nnAudio 2010": lambda wave: logarithm(cqt_2010(wave).square()),
        },
    ),
    "spectral_flux": (SpectralFlux(), {"torchaudio": torchaudio_flux, "librosa": librosa_flux}),
    "phase": (Phase(), {"torch": torch_phase, "librosa": librosa_phase}),
    "stft": (
        Stft(),
        {
            "torchaudio": lambda wave: logarithm(torchaudio_power(wave)),
            "librosa": lambda wave: np.log(np.abs(librosa.stft(wave.numpy(), n_fft=512, hop_length=256)) ** 2 + 1e-6),
            "nnAudio": lambda wave: logarithm(nnaudio_stft(wave, output_format="Magnitude").square()),
        },
    ),
    "raw, pre-emphasis": (Raw(0.97), {"torchaudio": lambda wave: functional.preemphasis(wave, 0.97)}),
    "mfcc_cqt_flux": (Stack({"mfcc": Mfcc(), "cqt": Cqt(), "flux": SpectralFlux()}), {"public": public_stack}),
}


@torch.inference_mode()
def measure():
    """Ratios to the fastest public way; the CQTs of librosa and nnAudio 2010 only come near the definition."""
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(BATCH, SAMPLES)
    measurements = []
    for name, (frontend, public) in FRONTENDS.items():
        ways = {"ours": frontend, **public}
        seconds = medians({way: functools.partial(compute, wave) for way, compute in ways.items()}, REPEATS)
        ours = seconds.pop("ours")
        others = ", ".join(f"{way} {1e3 * time:.1f} ms" for way, time in sorted(seconds.items(), key=lambda x: x[1]))
        ratio = ours / min(seconds.values())
        measurements.append(Measurement(name, ratio, "x", BOUND, figures=f"{1e3 * ours:.1f} ms, {others}"))
    return measurements


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
