"""Cells of time and frequency, and how what is known of some is shared out among others."""

from __future__ import annotations

import torch
from torch import Tensor


def edges(centres: Tensor, last: float) -> Tensor:
    """Where cells around rising centres ``(N,)`` begin and end ``(N + 1,)``, within 0 and `last`."""
    if len(centres) == 1:
        return torch.tensor([0.0, last], dtype=torch.float64)
    centres = centres.double()
    between = (centres[1:] + centres[:-1]) / 2
    outer = 2 * centres[[0, -1]] - between[[0, -1]]
    return torch.cat([outer[:1], between, outer[1:]]).clamp(0, last)


def frame_edges(frames: int, hop: int, samples: int) -> Tensor:
    """Where the frames of a window begin and end ``(frames + 1,)``, in samples; the last goes to its end."""
    found = edges(hop * torch.arange(frames), samples)
    found[-1] = samples
    return found


def shares(own: Tensor, others: Tensor) -> Tensor:
    """How cells with edges ``(N + 1,)`` are shared out among others ``(M + 1,)``: ``(N, M)``, rows add up to one."""
    begin = torch.maximum(own[:-1, None], others[None, :-1])
    end = torch.minimum(own[1:, None], others[None, 1:])
    common = (end - begin).clamp_min(0)
    return common / common.sum(dim=1, keepdim=True)
