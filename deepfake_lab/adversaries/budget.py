"""Budgets: how far from a waveform an adversary may go, and what a step of a given length is there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-30


class Budget(ABC):
    """The waveforms that an adversary may choose from: a ball around the given one, within full scale.

    A sample that is beyond full scale already may stay where it is.
    """

    @abstractmethod
    def radius(self, wave: Tensor) -> Tensor:
        """Radii of the balls around waveforms ``(B, T)``, in the norm of the budget ``(B, 1)``."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """Of all steps of length 1, the one along which a function of gradient ``(B, T)`` rises most ``(B, T)``."""

    @abstractmethod
    def random(self, wave: Tensor) -> Tensor:
        """A point of each ball ``(B, T)``, by torch's default generator of the device."""

    @abstractmethod
    def shortened(self, change: Tensor, radius: Tensor) -> Tensor:
        """The nearest to a change ``(B, T)`` whose length is not above the radius ``(B, 1)``."""

    def within(self, point: Tensor, wave: Tensor) -> Tensor:
        """Brings points ``(B, T)`` back into the balls around `wave` ``(B, T)``, and then into full scale."""
        allowed = wave + self.shortened(point - wave, self.radius(wave))
        return torch.minimum(torch.maximum(allowed, wave.clamp(max=-1)), wave.clamp(min=1))


@dataclass(frozen=True)
class SnrBudget(Budget):
    """Bounds the energy of the change: the waveform's lies so far above it. Silence must stay as it is.

    Attributes:
        snr_db: signal-to-noise ratio over the window in dB; of each waveform ``(B, 1)``, or of all.
    """

    snr_db: float | Tensor

    def radius(self, wave: Tensor) -> Tensor:
        """Largest Euclidean norms of the change ``(B, 1)``."""
        ratio = torch.as_tensor(self.snr_db, dtype=wave.dtype, device=wave.device)
        return _length(wave) * torch.pow(10, -ratio / 20)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of the gradient."""
        scaled = gradient / gradient.abs().amax(dim=1, keepdim=True).clamp_min(_TINY)  # whose squares are no zeros
        return scaled / _length(scaled)

    def random(self, wave: Tensor) -> Tensor:
        """White noise of the full energy: of a ball in so many dimensions nearly all lies at the surface."""
        return self.within(wave + self.radius(wave) * self.steepest(torch.randn_like(wave)), wave)

    def shortened(self, change: Tensor, radius: Tensor) -> Tensor:
        """The change, scaled down where it is too long."""
        return change * (radius / _length(change)).clamp(max=1)


@dataclass(frozen=True)
class MaxBudget(Budget):
    """Bounds the change of every sample (L-infinity).

    Attributes:
        epsilon: largest change, in full scale: 1/32768 is a step of 16 bits.
    """

    epsilon: float

    def radius(self, wave: Tensor) -> Tensor:
        """Epsilon, for every waveform ``(B, 1)``."""
        return torch.full_like(wave[:, :1], self.epsilon)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The signs of the gradient."""
        return gradient.sign()

    def random(self, wave: Tensor) -> Tensor:
        """Any change of every sample, equally probable."""
        return self.within(wave + self.epsilon * (2 * torch.rand_like(wave) - 1), wave)

    def shortened(self, change: Tensor, radius: Tensor) -> Tensor:
        """The change, each sample clipped."""
        return torch.maximum(torch.minimum(change, radius), -radius)


def _length(change: Tensor) -> Tensor:
    """Euclidean norms ``(B, 1)`` of waveforms ``(B, T)``, never quite 0."""
    length: Tensor = torch.linalg.vector_norm(change, dim=1, keepdim=True)
    return length.clamp_min(_TINY)
