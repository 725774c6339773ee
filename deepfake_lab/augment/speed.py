"""Faster and slower speech."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deepfake_lab.augment.augmentation import Augmentation, bounds, uniform

_BITS = 24  # of positions between samples, as integers: float32 cannot tell late ones apart


class SpeedPerturbation(Augmentation):
    """Plays rows faster or slower, pitch and spectrum included (Ko et al., Interspeech 2015).

    A slower row is cut at its end, a faster one begins again. So whatever a synthesis system leaves at certain
    frequencies is to be found at others.

    Args:
        factor: range of the speed; 1.1 is 10 % faster.
        p: see `Augmentation`.

    Raises:
        LabError: the range is none, or a speed is beyond 0.5 to 2.
    """

    def __init__(self, factor: Sequence[float] = (0.85, 1.18), p: float = 0.5) -> None:
        super().__init__(p)
        self.factor = bounds("factor", factor, least=0.5, most=2.0)  # `resampled` reads no row more than twice

    def augmented(self, batch: Tensor) -> Tensor:
        """See `Augmentation.augmented`."""
        return resampled(batch, uniform(batch, self.factor))


def resampled(batch: Tensor, factor: Tensor) -> Tensor:
    """Rows ``(B, T)`` at speeds ``(B, 1)``, read between the samples of twice the rate by cubic B-splines.

    What would come to lie beyond half the sample rate is lost. Images are 40 dB down at 7 kHz and 62 dB at 4 kHz.
    """
    samples = batch.shape[-1]
    frequency = 2 * torch.fft.rfftfreq(samples, device=batch.device)  # in units of half the sample rate
    through = 6 / (2 + torch.cos(frequency * (torch.pi / 2)))  # has the spline pass through the samples
    spectrum = torch.fft.rfft(batch) * (through * (frequency * factor < 1))
    knots = torch.fft.irfft(spectrum, 2 * samples)
    knots = torch.cat([knots[:, -1:], knots, knots, knots[:, :2]], dim=1)
    place = torch.arange(samples, device=batch.device) * (factor * 2 ** (_BITS + 1)).round().long()
    left = place >> _BITS
    share = place.bitwise_and_(2**_BITS - 1).float().mul_(2**-_BITS)
    points = [knots[:, offset:].gather(1, left) for offset in range(4)]
    for degree in (3, 2, 1):  # de Boor's algorithm, in place
        for rank in range(degree):
            points[rank].lerp_(points[rank + 1], share.add(degree - 1 - rank).div_(degree))
    return points[0]
