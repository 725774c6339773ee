"""Ranked trials: the one computation behind every metric, for single answers and for bootstrap replicates alike.

Sorting is the expensive part and does not depend on how often a trial counts. So the trials are sorted once, and a
replicate of the bootstrap is nothing but another row of weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    Scores: TypeAlias = NDArray[np.floating] | Tensor

FloatArray: TypeAlias = NDArray[np.float64]

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

    Every metric answers for each row of `weights` apart and is NaN where a class has no weight.

    Attributes:
        score: scores ``(N,)``, higher = more bona fide.
        bonafide: whether each trial is bona fide ``(N,)``.
        order: place of each trial in the concatenation of bona fide and spoof scores ``(N,)``.
        weights: how often each trial counts ``(R, N)``, whole numbers; one row a replicate.
    """

    score: FloatArray
    bonafide: NDArray[np.bool_]
    order: NDArray[np.intp]
    weights: FloatArray

    @classmethod
    def of(cls, bonafide_scores: Scores, spoof_scores: Scores) -> RankedTrials:
        """Sorts the trials; each counts once.

        Raises:
            LabError: a score is NaN.
        """
        real, fake = score_array(bonafide_scores, "bona fide"), score_array(spoof_scores, "spoof")
        score = np.concatenate([real, fake])
        order = np.argsort(score, kind="stable")
        return cls(score[order], order < len(real), order, np.ones((1, len(score))))

    def weighted(self, weights: FloatArray) -> RankedTrials:
        """The same trials with other weights ``(R, N)``, columns in the order of this ranking."""
        return replace(self, weights=weights)

    @cached_property
    def real(self) -> FloatArray:
        """Number of bona fide trials among the lowest 0, 1, ..., N trials ``(R, N + 1)``."""
        return _cumulate(self.weights * self.bonafide)

    @cached_property
    def fake(self) -> FloatArray:
        """Number of spoofs among the lowest 0, 1, ..., N trials ``(R, N + 1)``."""
        return _cumulate(self.weights * ~self.bonafide)

    def miss_rate(self) -> FloatArray:
        """Share of bona fide trials rejected when the lowest 0, 1, ..., N trials are rejected ``(R, N + 1)``."""
        return _share(self.real, self.real[:, -1:])

    def false_alarm_rate(self) -> FloatArray:
        """Share of spoofs accepted when the lowest 0, 1, ..., N trials are rejected ``(R, N + 1)``."""
        return _share(self.fake[:, -1:] - self.fake, self.fake[:, -1:])

    def eer(self) -> FloatArray:
        """Equal error rates ``(R,)``: see `deepfake_lab.metrics.functional.eer`."""
        return eer_from_counts(self.real, self.fake)

    def min_dcf(self) -> FloatArray:
        """Smallest normalised detection costs ``(R,)``: see `deepfake_lab.metrics.functional.min_dcf`."""
        cost = self.miss_rate()
        cost *= MISS_WEIGHT
        cost += self.false_alarm_rate()
        return np.asarray(cost.min(axis=1))

    def act_dcf(self) -> FloatArray:
        """Normalised detection costs at the Bayes threshold ``(R,)``: see `deepfake_lab.metrics.functional.act_dcf`."""
        tp, fp, tn, fn = self.confusion(BAYES_THRESHOLD)
        return MISS_WEIGHT * _share(fp, fp + tn) + _share(fn, fn + tp)

    def cllr(self) -> FloatArray:
        """Costs of the log-likelihood ratios ``(R,)``, in bits: see `deepfake_lab.metrics.functional.cllr`."""
        nats = np.logaddexp(0.0, np.where(self.bonafide, -self.score, self.score))
        real = _share(self._total(self.bonafide, nats), self._total(self.bonafide))
        fake = _share(self._total(~self.bonafide, nats), self._total(~self.bonafide))
        return (real + fake) / (2 * math.log(2))

    def roc_auc(self) -> FloatArray:
        """Probabilities that a spoof scores below a bona fide trial ``(R,)``, ties counting half."""
        score = self.score[self.bonafide]
        below = self.fake[:, np.searchsorted(self.score, score, "left")]
        not_above = self.fake[:, np.searchsorted(self.score, score, "right")]
        wins = np.einsum("rn,rn->r", self.weights[:, self.bonafide], (below + not_above) / 2)
        return _share(wins, self._total(self.bonafide) * self._total(~self.bonafide))

    def accuracy(self, threshold: float) -> FloatArray:
        """Shares of right decisions ``(R,)`` where a trial is accepted as bona fide if score >= threshold."""
        tp, fp, tn, fn = self.confusion(threshold)
        return _share(tp + tn, tp + fp + tn + fn)

    def confusion(self, threshold: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Numbers (tp, fp, tn, fn), each ``(R,)``; positive = spoof; accepted as bona fide if score >= threshold."""
        accepted = self.score >= threshold
        masks = (
            ~self.bonafide & ~accepted,
            self.bonafide & ~accepted,
            self.bonafide & accepted,
            ~self.bonafide & accepted,
        )
        tp, fp, tn, fn = (self._total(mask) for mask in masks)
        return tp, fp, tn, fn

    def _total(self, mask: NDArray[np.bool_], values: FloatArray | None = None) -> FloatArray:
        weights = self.weights[:, mask]
        return np.asarray(weights.sum(axis=1) if values is None else weights @ values[mask])


def eer_from_counts(real: FloatArray, fake: FloatArray) -> FloatArray:
    """Equal error rates ``(R,)`` from cumulated numbers of trials ``(R, N + 1)`` in ascending order of score.

    A trial of weight w is w trials of the same score, so the point nearest to equality may lie inside its step: the
    answers are those of the official code on trials that are really repeated.
    """
    reals, fakes = real[:, -1], fake[:, -1]
    if real.shape[1] == 1:
        return np.full(len(real), np.nan)
    crossed = real * fakes[:, None] + fake * reals[:, None] >= (reals * fakes)[:, None]
    rows, before = np.arange(len(real)), np.maximum(crossed.argmax(axis=1), 1) - 1
    real_0, fake_0 = real[rows, before], fake[rows, before]
    real_step = real[rows, before + 1] > real_0
    lacking = reals * fakes - real_0 * fakes - fake_0 * reals
    steps = np.ceil(lacking / np.maximum(np.where(real_step, fakes, reals), 1))
    points = []
    for taken in (steps - 1, steps):  # the last point with miss rate < false alarm rate, and the first without
        miss = _share(real_0 + taken * real_step, reals)
        alarm = _share(fakes - (fake_0 + taken * ~real_step), fakes)
        points.append((np.abs(miss - alarm), (miss + alarm) / 2))
    (gap_0, eer_0), (gap_1, eer_1) = points
    return np.where(gap_0 <= gap_1, eer_0, eer_1)


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


def _cumulate(weights: FloatArray) -> FloatArray:
    counts = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=counts[:, 1:])
    return counts


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Quotient that is NaN, silently, where the whole is nothing."""
    result = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
