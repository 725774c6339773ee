"""Scores of windows: the one way in which recordings, streams and a service ask a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from deepfake_lab.audio import Wave
from deepfake_lab.models.detector import Detector


class Scores(NamedTuple):
    """What a detector says of windows.

    Attributes:
        whole: a score a window ``(N,)``, higher = more bona fide.
        local: scores over time ``(N, S)``; S is 0 unless they were asked for.
        times: where in a window these are ``(S,)``, in s.
    """

    whole: npt.NDArray[np.float64]
    local: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]


Scorer = Callable[[Sequence[Wave], bool], Scores]
"""From windows ``(T,)`` of one length, and whether scores over time are wanted, to scores."""


def score_windows(detector: Detector, waves: Sequence[Wave], frames: bool) -> Scores:
    """Scores windows ``(T,)`` of one length, with scores over time if they are wanted."""
    batch = torch.from_numpy(np.stack(waves)).to(detector.eer_threshold.device)
    with torch.inference_mode():
        output = detector(batch, frames=frames)
    local = output.frame_scores.float().cpu().numpy()
    times = detector.frame_times(local.shape[1]).double().numpy()
    return Scores(output.score.double().cpu().numpy(), local, times)
