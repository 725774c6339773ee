"""Whether a detector is robust, or only hides its gradients from adversaries.

Source:
    Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", ICML 2018, section 3.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import Adversary, in_use
from deepfake_lab.adversaries.apgd import Apgd
from deepfake_lab.adversaries.budget import Budget, MaxBudget, SnrBudget
from deepfake_lab.adversaries.fgsm import Fgsm
from deepfake_lab.adversaries.gradients import slope_error
from deepfake_lab.adversaries.pgd import Pgd
from deepfake_lab.evaluation.trials import threshold_of
from deepfake_lab.models.detector import Detector
from deepfake_lab.types import BONAFIDE, SPOOF, Batch

WITHOUT_BOUND: Final = Apgd(steps=100)
UNBOUNDED: Final[Mapping[type[Budget], Budget]] = {SnrBudget: SnrBudget(-20.0), MaxBudget: MaxBudget(1.0)}
"""Budgets of either kind that leave nothing of a recording."""
SLOPE_ERROR: Final = 0.1
"""Relative error of a slope from which it counts as untrue: detectors bend, and compute in float32."""
UNTRUE: Final = 0.25
"""Share of the recordings whose slopes may be untrue: at some the score is level, or bends at once."""
SLACK: Final = 0.05
"""Share of the recordings by which a stronger adversary may mislead less: random starts differ."""


def suspicions(
    detector: Detector, batch: Batch, adversary: Adversary, budgets: Mapping[str, Budget], seed: int = 0
) -> list[str]:
    """What speaks against the gradients of a detector, in words; nothing where all is well.

    Args:
        detector: whose gradients are used.
        batch: trials of both classes, on its device.
        adversary: the one that is to be believed; where it takes a single step, `Pgd` stands in for it.
        budgets: one or more of a kind by name, the smallest first.
        seed: of random choices.
    """
    torch.manual_seed(seed)
    wave, label = batch.wave, batch.label
    iterated = Pgd() if isinstance(adversary, Fgsm) else adversary

    def score(point: Tensor) -> Tensor:
        scores: Tensor = detector(point).score
        return scores

    with in_use(detector), torch.no_grad():
        clean = score(wave).double().cpu().numpy()
        real = (label == BONAFIDE).cpu().numpy()
        threshold = threshold_of(detector, clean[real], clean[~real])

        def misled(by: Adversary, within: Budget) -> int:
            accepted = score(by(score, wave, label, within)) >= threshold
            return int((accepted == (label == SPOOF)).sum())

        untrue = int((slope_error(score, wave, label) > SLOPE_ERROR).sum())
        steps = {name: misled(iterated, budget) for name, budget in budgets.items()}
        single = {name: misled(Fgsm(), budget) for name, budget in budgets.items()}
        at_last = misled(WITHOUT_BOUND, UNBOUNDED[type(next(iter(budgets.values())))])
    return list(in_words(len(wave), untrue, single, steps, at_last))


def in_words(
    trials: int, untrue: int, single: Mapping[str, int], steps: Mapping[str, int], at_last: int
) -> Iterator[str]:
    """What is odd about numbers of recordings.

    Args:
        trials: all of them.
        untrue: those at which the gradient is not the slope.
        single: those on which a single step misleads, by budget.
        steps: those on which several steps mislead, by budget.
        at_last: those on which a change without bounds misleads.
    """
    allowed = SLACK * trials
    of = f"of {trials} recordings"
    if untrue > UNTRUE * trials:
        yield f"The gradient of the score is not its slope on {untrue} {of}: finite differences say otherwise."
    for name, number in steps.items():
        if single[name] > number + allowed:
            yield f"At {name} a single step misleads on {single[name]} {of}, several steps on {number}."
    for weaker, stronger in itertools.pairwise(steps):
        if steps[weaker] > steps[stronger] + allowed:
            yield f"{weaker} misleads on {steps[weaker]} {of}, the larger {stronger} on {steps[stronger]}."
    if at_last < trials:
        yield f"A change without bounds misleads on {at_last} {of}, not on all."
