"""Several front-ends at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.types import LabError

_COARSEST = 8
"""How many times the shortest hop the longest may be: beyond that, most of its frames would be interpolated."""


class Stack(Frontend):
    """Features of several front-ends on top of each other, ``(B, T) -> (B, 1, sum of bins, frames)``.

    Frames are those of the part with the shortest hop; the others are interpolated linearly to the times of these, and
    keep their last frame beyond it. With equal hops, which is quickest, nothing is interpolated. Channels of a part
    follow each other along the bins. Each part has its own `normalise` and `post`.

    Args:
        parts: front-ends by name, in the order of their bins.

    Raises:
        LabError: there are no parts, or their hops are too different.
    """

    def __init__(self, parts: Mapping[str, Frontend]) -> None:
        super().__init__()
        if not parts:
            raise LabError("A stack of no front-ends: name its parts, as conf/frontend/mfcc_cqt_flux.yaml does.")
        hops = {name: part.hop for name, part in parts.items()}
        if max(hops.values()) > _COARSEST * min(hops.values()):
            raise LabError(
                f"Hops of {hops} samples: the longest may be {_COARSEST} times the shortest. Set hop_ms of the parts, "
                "or leave one out."
            )
        self.parts = nn.ModuleDict(parts)
        self.channels, self.bins = 1, sum(part.channels * part.bins for part in parts.values())
        self.hop, self.min_samples = min(hops.values()), max(part.min_samples for part in parts.values())

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: those of the part with the shortest hop."""
        return min(self._parts(), key=lambda part: part.hop).frames(samples)

    def features(self, wave: Tensor) -> Tensor:
        """Features ``(B, 1, sum of bins, L)`` of waveforms ``(B, T)``."""
        frames = self.frames(wave.shape[-1])
        rows = [interpolated(part(wave).flatten(1, 2), self.hop / part.hop, frames) for part in self._parts()]
        return torch.cat(rows, dim=1).unsqueeze(1)

    def _parts(self) -> list[Frontend]:
        return cast("list[Frontend]", list(self.parts.values()))


def interpolated(features: Tensor, step: float, frames: int) -> Tensor:
    """Values at the times 0, step, 2 step ... by linear interpolation between frames; beyond the last it is kept.

    Args:
        features: ``(B, F, L)``.
        step: distance of the times, in frames.
        frames: number of times.

    Returns:
        ``(B, F, frames)``.
    """
    last = features.shape[-1] - 1
    if step == 1 and frames == last + 1:
        return features
    times = (torch.arange(frames, device=features.device, dtype=torch.float64) * step).clamp(max=last)
    before = times.long()
    after = (before + 1).clamp(max=last)
    return torch.lerp(features[..., before], features[..., after], (times - before).to(features.dtype))
