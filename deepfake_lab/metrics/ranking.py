"""Ranked trials: the one computation behind every metric. Sorting is the expensive part, so it is done once for all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    Scores: TypeAlias = NDArray[np.floating] | Tensor

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

SPOOF_PRIOR: Final = 0.05
COST_MISS: Final = 1.0
COST_FALSE_ALARM: Final = 10.0
MISS_WEIGHT: Final = COST_MISS * (1 - SPOOF_PRIOR) / (COST_FALSE_ALARM * SPOOF_PRIOR)
"""Weight of the miss rate in the normalised DCF: 1.9 (ASVspoof 5, Track 1)."""
BAYES_THRESHOLD: Final = -math.log(MISS_WEIGHT)
"""Score from which a calibrated detector accepts a trial as bona fide at these costs: about -0.642."""


@dataclass(frozen=True)
class RankedTrials:
    """Scored trials of both classes, ascending; among equal scores bona fide first (the official, pessimistic order).

    Every metric is NaN where a class is empty.

    Attributes:
        score: scores ``(N,)``, higher = more bona fide.
        bonafide: whether each trial is bona fide ``(N,)``.
    """

    score: FloatArray
    bonafide: NDArray[np.bool_]

    @classmethod
    def of(cls, bonafide_scores: Scores, spoof_scores: Scores) -> RankedTrials:
        """Sorts the trials.

        Raises:
            LabError: a score is NaN.
        """
        real, fake = score_array(bonafide_scores, "bona fide"), score_array(spoof_scores, "spoof")
        score = np.concatenate([real, fake])
        order = np.argsort(score, kind="stable")
        return cls(score[order], order < len(real))

    @cached_property
    def real(self) -> IntArray:
        """Number of bona fide trials among the lowest 0, 1, ..., N trials ``(N + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.bonafide)])

    @cached_property
    def fake(self) -> IntArray:
        """Number of spoofs among the lowest 0, 1, ..., N trials ``(N + 1,)``."""
        return np.arange(len(self.score) + 1) - self.real

    def miss_rate(self) -> FloatArray:
        """Share of bona fide trials rejected when the lowest 0, 1, ..., N trials are rejected ``(N + 1,)``."""
        return share(self.real, self.real[-1])

    def false_alarm_rate(self) -> FloatArray:
        """Share of spoofs accepted when the lowest 0, 1, ..., N trials are rejected ``(N + 1,)``."""
        return share(self.fake[-1] - self.fake, self.fake[-1])

    def eer(self) -> float:
        """Equal error rate: see `deepfake_lab.metrics.functional.eer`."""
        reals, fakes = self.real[-1], self.fake[-1]
        if not reals * fakes:
            return math.nan
        crossed = int((self.real * fakes + self.fake * reals >= reals * fakes).argmax())  # whole numbers: no rounding
        miss, alarm = self.miss_rate()[[crossed - 1, crossed]], self.false_alarm_rate()[[crossed - 1, crossed]]
        return float((miss + alarm)[np.abs(miss - alarm).argmin()] / 2)

    def min_dcf(self) -> float:
        """Smallest normalised detection cost: see `deepfake_lab.metrics.functional.min_dcf`."""
        return float((MISS_WEIGHT * self.miss_rate() + self.false_alarm_rate()).min())

    def act_dcf(self) -> float:
        """Normalised detection cost at the Bayes threshold: see `deepfake_lab.metrics.functional.act_dcf`."""
        tp, fp, tn, fn = self.confusion(BAYES_THRESHOLD)
        return float(MISS_WEIGHT * share(fp, fp + tn) + share(fn, fn + tp))

    def cllr(self) -> float:
        """Cost of the log-likelihood ratios, in bits: see `deepfake_lab.metrics.functional.cllr`."""
        nats = cost_in_nats(np.where(self.bonafide, -self.score, self.score))
        real = share(nats[self.bonafide].sum(), self.real[-1])
        fake = share(nats[~self.bonafide].sum(), self.fake[-1])
        return float((real + fake) / (2 * math.log(2)))

    def roc_auc(self) -> float:
        """Probability that a spoof scores below a bona fide trial, ties counting half."""
        score = self.score[self.bonafide]
        below = self.fake[np.searchsorted(self.score, score, "left")]
        not_above = self.fake[np.searchsorted(self.score, score, "right")]
        return float(share((below + not_above).sum() / 2, self.real[-1] * self.fake[-1]))

    def confusion(self, threshold: float) -> tuple[int, int, int, int]:
        """Numbers (tp, fp, tn, fn); positive = spoof; accepted as bona fide if score >= threshold."""
        rejected = int(np.searchsorted(self.score, threshold, "left"))
        fp, tp = int(self.real[rejected]), int(self.fake[rejected])
        return tp, fp, int(self.real[-1]) - fp, int(self.fake[-1]) - tp


def score_array(scores: Scores, what: str = "") -> FloatArray:
    """Scores as a float64 NumPy array ``(N,)``, wherever they live.

    Raises:
        LabError: a score is NaN; the message says how many and where.
    """
    host = scores if isinstance(scores, np.ndarray) else scores.detach().cpu().double().numpy()
    array = host.astype(np.float64, copy=False).reshape(-1)
    bad = np.flatnonzero(np.isnan(array))
    if bad.size:
        where = ", ".join(map(str, bad[:5])) + (", ..." if bad.size > 5 else "")
        raise LabError(
            f"{bad.size} of {array.size} {what} scores are NaN, at positions {where}. "
            "Look for silent or broken audio, or train with precision 32 or bf16-mixed: float16 overflows."
        )
    return array


def cost_in_nats(evidence: FloatArray) -> FloatArray:
    """What log-likelihood ratios for the wrong class cost, ``ln(1 + exp(evidence))``, without overflow."""
    return np.logaddexp(0.0, evidence)


def share(part: ArrayLike, whole: ArrayLike, nothing: float = math.nan) -> FloatArray:
    """Quotient that is `nothing`, silently, where the whole is nothing."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    result = np.full(np.broadcast_shapes(part.shape, whole.shape), nothing)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
