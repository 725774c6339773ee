"""Projected gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import Adversary, Best, Score, climb, gain_of
from deepfake_lab.adversaries.budget import Budget
from deepfake_lab.types import LabError


@dataclass(frozen=True)
class Pgd(Adversary):
    """Steps along the gradient from a random point, each brought back into the budget; the best point counts.

    Attributes:
        steps: number of steps.
        reach: length of all steps together, in radii of the budget.
        restarts: number of random points to begin at.

    Raises:
        LabError: there is no step or no start.

    Source:
        Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018.
    """

    steps: int = 20
    reach: float = 2.5
    restarts: int = 1

    def __post_init__(self) -> None:
        if min(self.steps, self.restarts) < 1 or self.reach <= 0:
            raise LabError(f"{self}: at least one step of some length from one start is needed.")

    def __call__(self, score: Score, wave: Tensor, label: Tensor, budget: Budget) -> Tensor:
        """See `Adversary`."""
        best = Best(wave)
        step = budget.radius(wave) * (self.reach / self.steps)
        for _ in range(self.restarts):
            point = budget.random(wave)
            for _ in range(self.steps):
                gain, gradient = climb(score, point, label)
                best.update(point, gain)
                point = budget.within(point + step * budget.steepest(gradient), wave)
            with torch.no_grad():
                best.update(point, gain_of(score, point, label))
        return best.point
