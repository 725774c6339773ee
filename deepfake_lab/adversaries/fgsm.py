"""The fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from deepfake_lab.adversaries.adversary import Adversary, Score, climb
from deepfake_lab.adversaries.budget import Budget


@dataclass(frozen=True)
class Fgsm(Adversary):
    """One step along the gradient, as far as the budget lets: of its signs, or of itself where energy is bounded.

    Source:
        Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015.
    """

    def __call__(self, score: Score, wave: Tensor, label: Tensor, budget: Budget) -> Tensor:
        """See `Adversary`."""
        _, gradient = climb(score, wave, label)
        return budget.within(wave + budget.radius(wave) * budget.steepest(gradient), wave)
