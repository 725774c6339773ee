"""The check after the fact: has a run learnt anything at all?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepfake_lab.evaluation.bootstrap import Interval

CHANCE: Final = 0.5
LOSS_SHARE: Final = 0.98
"""A training loss of this share of the constant predictor's, or more, has learnt nothing."""


def learned_nothing(dev_eer_interval: Interval, train_losses: Sequence[float], constant_loss: float) -> list[str]:
    """Reasons, in words, to believe that a run has learnt nothing; none where all is well.

    Args:
        dev_eer_interval: confidence interval of the EER on dev.
        train_losses: mean training loss of each epoch; may be empty where nothing was trained.
        constant_loss: loss of the best predictor that gives every trial the same score.
    """
    reasons = []
    low, high = dev_eer_interval
    if not high < CHANCE:  # also where it is NaN
        where = "contains 50 %" if low <= CHANCE <= high else "is not below 50 %"
        reasons.append(
            f"the interval of the dev EER, {100 * low:.1f} to {100 * high:.1f} %, {where}: no better than chance"
        )
    finite = [loss for loss in train_losses if loss == loss]
    best = min(finite, default=float("nan"))
    if train_losses and not best < LOSS_SHARE * constant_loss:
        reasons.append(
            f"the training loss never fell below {LOSS_SHARE:.0%} of what a constant score costs "
            f"(best epoch {best:.4f}, constant {constant_loss:.4f})"
        )
    return reasons
