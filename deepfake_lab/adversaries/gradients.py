"""Whether a gradient is true: a detector that hides it is not robust, it only defeats adversaries that need it."""

from __future__ import annotations

import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import Score, climb, gain_of

_RISES = (0.3, 0.1, 0.03, 0.01, 0.003)
"""Changes of the score to measure by: large ones meet its curvature, small ones the rounding of float32."""


def slope_error(score: Score, wave: Tensor, label: Tensor) -> Tensor:
    """How wrong the slope of the score along its own gradient is, measured by finite differences.

    Args:
        score: see `deepfake_lab.adversaries.adversary.Score`.
        wave: waveforms ``(B, T)``.
        label: labels ``(B,)``.

    Returns:
        Relative errors ``(B,)``, where two sizes of change in a row agree best, since one may by chance;
        infinite where the slope is zero.
    """
    _, gradient = climb(score, wave, label)
    slope = gradient.double().norm(dim=1, keepdim=True)
    errors = []
    for rise in _RISES:
        way = (gradient * (rise / slope.square())).to(wave.dtype)
        with torch.no_grad():
            measured = gain_of(score, wave + way, label) - gain_of(score, wave - way, label)
        errors.append((measured / (2 * rise) - 1).abs())
    agreed = torch.stack(errors).unfold(0, 2, 1).amax(dim=-1)
    return agreed.amin(dim=0).nan_to_num(nan=torch.inf)
