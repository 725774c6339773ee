"""Auto-PGD."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import Adversary, Best, Score, climb, gain_of
from deepfake_lab.adversaries.budget import Budget
from deepfake_lab.types import LabError

_FORWARD = 0.75
"""Share of a step that is new; the rest repeats the step before."""
_ENOUGH_RISES = 0.75
"""Share of the steps since the last checkpoint that must have risen, or steps are too long."""


@dataclass(frozen=True)
class Apgd(Adversary):
    """Projected gradient descent with momentum, whose steps are halved where they no longer lead on.

    At checkpoints, which come ever closer to each other, a waveform whose gain has not risen often enough, or whose
    best has stayed while its steps did, goes on from its best point with steps half as long.

    Attributes:
        steps: number of steps.
        restarts: number of random points to begin at.

    Raises:
        LabError: there is no step or no start.

    Source:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks", ICML 2020, algorithm 1, with the margin for the loss. At last the best change is tried at full length.
    """

    steps: int = 40
    restarts: int = 1

    def __post_init__(self) -> None:
        if min(self.steps, self.restarts) < 1:
            raise LabError(f"{self}: at least one step from one start is needed.")

    def __call__(self, score: Score, wave: Tensor, label: Tensor, budget: Budget) -> Tensor:
        """See `Adversary`."""
        best = Best(wave)
        for _ in range(self.restarts):
            found = self._climbed(score, wave, label, budget)
            best.update(found.point, found.gain)
        return best.point

    def _climbed(self, score: Score, wave: Tensor, label: Tensor, budget: Budget) -> Best:
        """The best points on the way from a random start."""
        best, step, marks = Best(wave), 2 * budget.radius(wave), checkpoints(self.steps)
        point = previous = budget.random(wave)
        gain, gradient = climb(score, point, label)
        best.update(point, gain, gradient)
        rises, halved, best_then, last = torch.zeros_like(gain), torch.zeros_like(gain).bool(), best.gain, 0
        for number in range(1, self.steps + 1):
            ahead = budget.within(point + step * budget.steepest(gradient), wave)
            if number > 1:
                ahead = budget.within(point + _FORWARD * (ahead - point) + (1 - _FORWARD) * (point - previous), wave)
            previous, point, before = point, ahead, gain
            gain, gradient = climb(score, point, label)
            best.update(point, gain, gradient)
            rises += gain > before
            if number in marks:
                halved = (rises < _ENOUGH_RISES * (number - last)) | (~halved & (best.gain <= best_then))
                rows = halved.unsqueeze(1)
                step = torch.where(rows, step / 2, step)
                point, gradient = torch.where(rows, best.point, point), torch.where(rows, best.gradient, gradient)
                gain = torch.where(halved, best.gain, gain)
                rises, best_then, last = torch.zeros_like(gain), best.gain, number
        with torch.no_grad():  # momentum leads inside the ball
            stretched = budget.within(wave + budget.radius(wave) * budget.steepest(best.point - wave), wave)
            best.update(stretched, gain_of(score, stretched, label))
        return best


def checkpoints(steps: int) -> list[int]:
    """Numbers of the steps after which the length of steps is looked at."""
    per_cent = [0, 22]
    while per_cent[-1] < 100:
        per_cent.append(per_cent[-1] + max(per_cent[-1] - per_cent[-2] - 3, 6))
    return [math.ceil(share * steps / 100) for share in per_cent[1:-1]]
