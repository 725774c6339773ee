"""RawBoost: the noise of telephony out of the signal alone (Tak et al., ICASSP 2022, arXiv 2111.04433).

Three kinds, with the parameters of the paper, a few of which its authors' code alone states:

1. linear and non-linear convolutive noise: the powers 1 to 5 of the signal, each through a random notch filter, added
   up; the higher powers are 5 to 20 dB weaker;
2. impulsive, signal-dependent noise: up to 10 % of the samples change by up to twice their value;
3. stationary, signal-independent noise: white noise through such a filter, at an SNR of 10 to 40 dB.

Filters have linear phase, and their delay is taken back.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, Range, uniform
from deepfake_lab.augment.filters import convolved
from deepfake_lab.augment.noise import mixed
from deepfake_lab.types import SAMPLE_RATE, LabError

POWERS = 5
NOTCHES = 5
CENTRE_HZ: Range = (20, 8_000)
WIDTH_HZ: Range = (100, 1_000)
HALF_TAPS: Range = (5, 50)  # of each notch: 11 to 99 coefficients in all
POWER_GAIN_DB: Range = (-20, -5)
IMPULSES: Range = (0, 0.1)
IMPULSE_GAIN = 2.0
SNR_DB: Range = (10, 40)

_LONGEST = int(HALF_TAPS[1]) - 1  # taps on each side of the middle one
_DELAY = NOTCHES * _LONGEST
_FILTER_SIZE = 512  # holds the 2 * _DELAY + 1 taps of all notches together


class RawBoost(Augmentation):
    """RawBoost of every kind that the algorithm names, in a row.

    Args:
        algorithm: 1, 2 or 3 alone; 4: 1, 2 and 3; 5: 1 and 2, best on logical access in the paper.
        p: see `Augmentation`.

    Raises:
        LabError: there is no such algorithm.
    """

    def __init__(self, algorithm: Literal[1, 2, 3, 4, 5] = 4, p: float = 0.5) -> None:
        super().__init__(p)
        kinds = {1: (convolutive,), 2: (impulsive,), 3: (stationary,)}
        kinds |= {4: (convolutive, impulsive, stationary), 5: (convolutive, impulsive)}  # type: ignore[dict-item]
        if algorithm not in kinds:
            raise LabError(f"augment: algorithm={algorithm}: RawBoost has 1, 2, 3, 4 (all three) and 5 (1 and 2).")
        self.kinds = kinds[algorithm]

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        for kind in self.kinds:
            batch = kind(batch)
        return batch


def convolutive(wave: Tensor) -> Tensor:
    """Linear and non-linear convolutive noise in waveforms ``(B, T)``, which then have no mean."""
    wave = _within_one(wave)
    gain_db = uniform(wave, POWER_GAIN_DB, POWERS)
    gain_db[:, 0] = 0
    filtered = convolved(wave, notch_filters(wave, POWERS) * 10 ** (gain_db.unsqueeze(-1) / 20), _DELAY)
    return _within_one(filtered - filtered.mean(dim=-1, keepdim=True))


def impulsive(wave: Tensor) -> Tensor:
    """Impulsive signal-dependent noise in waveforms ``(B, T)``; each sample is hit with the drawn probability."""
    # that none of Poisson(-log(1 - p)) strikes falls on a sample has probability 1 - p; cheaper than to ask them all
    strikes = torch.poisson(-wave.shape[-1] * torch.log1p(-uniform(wave, IMPULSES)))
    row = torch.repeat_interleave(strikes.squeeze(1).long())
    hit = torch.unique(row * wave.shape[-1] + torch.randint(wave.shape[-1], row.shape, device=wave.device))
    sample = wave.flatten()[hit]
    change = torch.empty_like(sample).uniform_(-1, 1) * torch.empty_like(sample).uniform_(-1, 1)
    changed = torch.addcmul(sample, sample, change, value=IMPULSE_GAIN)
    return _within_one(wave.flatten().index_copy(0, hit, changed).view_as(wave))


def stationary(wave: Tensor) -> Tensor:
    """Stationary signal-independent noise in waveforms ``(B, T)``."""
    noise = convolved(torch.randn_like(wave), notch_filters(wave, 1), _DELAY)
    return mixed(wave, noise, uniform(wave, SNR_DB))


def notch_filters(wave: Tensor, number: int) -> Tensor:
    """Draws filters for each row.

    Args:
        wave: waveforms ``(B, T)``.
        number: of filters for each row.

    Returns:
        Taps ``(B, number, K)``, symmetric, of largest gain 1: `NOTCHES` windowed band-stop filters, one after another.
    """

    def draw(bounds: Range) -> Tensor:
        return uniform(wave, bounds, number * NOTCHES).view(len(wave), number, NOTCHES, 1)

    centre, width, half = draw(CENTRE_HZ), draw(WIDTH_HZ), draw(HALF_TAPS).floor()
    low = (centre - width / 2).clamp_min(0) / SAMPLE_RATE
    high = (centre + width / 2).clamp_max(SAMPLE_RATE / 2) / SAMPLE_RATE
    tap = torch.arange(-_LONGEST, _LONGEST + 1, device=wave.device)
    hamming = (0.54 + 0.46 * torch.cos(torch.pi * tap / half)) * (tap.abs() <= half)
    notch = ((tap == 0).float() - 2 * high * torch.sinc(2 * high * tap) + 2 * low * torch.sinc(2 * low * tap)) * hamming
    response = torch.fft.rfft(notch, _FILTER_SIZE).prod(dim=2)
    response = response / response.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12)
    taps: Tensor = torch.fft.irfft(response, _FILTER_SIZE)
    return taps[..., : 2 * _DELAY + 1]


def _within_one(wave: Tensor) -> Tensor:
    """Waveforms scaled down where they are louder than full scale."""
    return wave / wave.abs().amax(dim=-1, keepdim=True).clamp_min(1)
