"""A judgement explained: which moments and bands of a recording drove its score, and when the detector paid attention.

An attribution tells what moved this detector, not what is fake in the recording: of a detector that errs, it shows by
what it was misled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deepfake_lab.audio import Wave
from deepfake_lab.serving.attribution import STEPS, Attribution, attribute
from deepfake_lab.serving.cells import edges, shares
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.windows import Window
from deepfake_lab.types import SAMPLE_RATE, LabError

MOST_S: Final = 30.0
"""How much of a recording is explained, in s."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """What the score of a recording comes from.

    Attributes:
        times: middles of the frames in the recording ``(L,)``, in s.
        frequencies: mean frequencies of the bins ``(F,)``, rising, in Hz.
        attribution: what each bin of each frame adds to the score ``(F, L)``; what speaks for a fake is negative.
        attention: share of each frame in what the detector heard ``(L,)``; of an ensemble, the mean of those members
            that have attention over time; None where none has.
        method: name of the method.
        score: mean score of the windows that are explained, as a judgement has it.
        baseline: mean score of the same windows without events, see `deepfake_lab.serving.attribution`.
        windows: how many these are.
        wave: what they hear, from the first frame on ``(T,)``, 16 kHz.
    """

    times: Numbers
    frequencies: Numbers
    attribution: Numbers
    attention: Numbers | None
    method: str
    score: float
    baseline: float
    windows: int
    wave: Wave

    @property
    def missing(self) -> float:
        """What the attribution lacks to add up to ``score - baseline``.

        The error of the integration, and what a network jumps by: AASIST does where it keeps other nodes of a graph.
        """
        return self.score - self.baseline - float(self.attribution.sum())

    def coarse(self, bands: int, step_s: float) -> Coarse:
        """The same in fewer cells, for a picture: bands of equal width, and steps of about so many s."""
        begin, length = float(self.times[0]), len(self.wave) / SAMPLE_RATE
        times = torch.linspace(0, length, 1 + max(round(length / step_s), 1), dtype=torch.float64)
        hertz = torch.linspace(0, SAMPLE_RATE / 2, bands + 1, dtype=torch.float64)
        frames = shares(edges(torch.from_numpy(self.times - begin), length), times).numpy()
        rows = shares(edges(torch.from_numpy(self.frequencies), SAMPLE_RATE / 2), hertz).numpy()
        attention = None if self.attention is None else self.attention @ frames
        return Coarse((begin + times).numpy(), hertz.numpy(), rows.T @ self.attribution @ frames, attention)


class Coarse(NamedTuple):
    """An explanation in fewer cells; their sums are the same.

    Attributes:
        times: edges of the steps in the recording ``(L + 1,)``, in s.
        bands: edges of the bands ``(F + 1,)``, in Hz.
        parts: what each cell adds to the score ``(F, L)``; what speaks for a fake is negative.
        attention: share of each step in what the detector heard ``(L,)``; None where there is none over time.
    """

    times: Numbers
    bands: Numbers
    parts: Numbers
    attention: Numbers | None


class Explainer:
    """Explains what a judge says of recordings, window by window, as it scores them.

    Args:
        judge: whose detector, windows and batch size are used.
        steps: points at which gradients are taken.
        most_s: how much of a recording is explained, in s; its first window at least.

    Raises:
        LabError: there are no steps.
    """

    def __init__(self, judge: Judge, *, steps: int = STEPS, most_s: float = MOST_S) -> None:
        if steps < 1:
            raise LabError(f"steps={steps}: gradients are to be taken at one point at least.")
        self.judge = judge
        self.steps = steps
        self.most_s = most_s

    def __call__(self, recording: Recording, start_s: float = 0.0) -> Explanation:
        """Explains a recording from some time on; its last window, where there is none after that.

        Raises:
            AudioError: it cannot be decoded.
        """
        windows = self._windows(recording, start_s * SAMPLE_RATE)
        detector, size = self.judge.detector, self.judge.batch_size
        waves = torch.from_numpy(np.stack([window.wave for window in windows])).to(detector.eer_threshold.device)
        waves = waves.repeat(1, math.ceil(detector.min_samples / waves.shape[-1]))  # as the detector does
        found = [attribute(detector, part, steps=self.steps, batch_size=size) for part in torch.split(waves, size)]
        return _joined(windows, found)

    def _windows(self, recording: Recording, start: float) -> list[Window]:
        """The first windows that begin at a sample or later, as many as end within the bound."""
        first: list[Window] = []
        with closing(self.judge.cut(recording)) as windows:
            for window in windows:
                if first and first[0].start < start:
                    first.clear()  # it is not the last
                if first and window.start + window.heard - first[0].start > self.most_s * SAMPLE_RATE:
                    break
                first.append(window)
        return first


def _joined(windows: Sequence[Window], found: Sequence[Attribution]) -> Explanation:
    """The mean over windows, each in its place."""
    hop, start = found[0].hop, windows[0].start
    parts = _together(one.parts for one in found)
    attention = [one.attention[:, None] for one in found if one.attention is not None]
    end = max(window.start + window.heard for window in windows)
    wave = np.zeros(end - start, np.float32)
    for window in windows:
        wave[window.start - start :][: window.heard] = window.wave[: window.heard]
    frames = [_frames(window, start, hop, parts.shape[-1]) for window in windows]
    return Explanation(
        times=(start + hop * np.arange(1 + max(int(own.max()) for own in frames))) / SAMPLE_RATE,
        frequencies=found[0].frequencies.double().cpu().numpy(),
        attribution=_mean(parts, frames),
        attention=_mean(_together(attention), frames)[0] if attention else None,
        method=found[0].method,
        score=float(_together(one.score for one in found).mean()),
        baseline=float(_together(one.baseline for one in found).mean()),
        windows=len(windows),
        wave=wave,
    )


def _together(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat(list(tensors)).double().cpu()


def _frames(window: Window, start: int, hop: int, count: int) -> Tensor:
    """Frames of the recording, counted from sample `start`, that those of a window are ``(count,)``.

    Of audio that was repeated to fill the window, each repetition counts for what it repeats.
    """
    samples = hop * torch.arange(count)
    if window.heard < len(window.wave):
        samples %= window.heard
    return (window.start - start + samples + hop // 2) // hop  # torch.round would leave gaps: it rounds halves to even


def _mean(rows: Tensor, frames: Sequence[Tensor]) -> Numbers:
    """Mean ``(F, L)`` over windows of what is told of their frames ``(N, F, L')``."""
    total = rows.new_zeros(rows.shape[1], 1 + max(int(own.max()) for own in frames))
    for row, own in zip(rows, frames, strict=True):
        total.index_add_(1, own, row / len(rows))
    return total.numpy()
