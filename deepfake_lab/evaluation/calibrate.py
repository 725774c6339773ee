"""Calibration: scores that mean log-likelihood ratios, thresholds that follow, and a check of what they claim.

All is fitted on a development set. A *miss* is a real recording called fake, a *false alarm* a spoof accepted as real.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.metrics.ranking import (
    COST_FALSE_ALARM,
    COST_MISS,
    MISS_WEIGHT,
    SPOOF_PRIOR,
    FloatArray,
    score_array,
)
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

if TYPE_CHECKING:
    from deepfake_lab.metrics.ranking import Scores

EFFECTIVE_SPOOF_PRIOR: Final = 1 / (1 + MISS_WEIGHT)
"""The prior that decides as ASVspoof 5 does if both errors cost the same: 0.345, of prior 0.05 and costs 1 and 10."""
LEAST_CLAIM: Final = 0.01
"""Largest log-likelihood ratio on dev of a detector that tells nothing there: p_fake stays within 0.003 of a half."""
_Z_95: Final = 1.959963984540054
_STEPS: Final = 200
_NO_DIFFERENCE: Final = 1e-30


class Affine(NamedTuple):
    """The increasing map ``scale * score + offset``."""

    scale: float
    offset: float

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Maps scores ``(N,)``."""
        return self.scale * scores + self.offset


def fit_affine(bonafide_scores: Scores, spoof_scores: Scores, spoof_prior: float = EFFECTIVE_SPOOF_PRIOR) -> Affine:
    """Calibration by logistic regression: the affine map that makes scores natural log-likelihood ratios, real : fake.

    Each class weighs what the prior gives it, however many trials it has; the fit is best around the threshold that
    belongs to that prior (Brümmer & du Preez, "Application-independent evaluation of speaker detection", 2006; Brümmer
    & de Villiers, "The BOSARIS toolkit", 2013).

    Classes that never overlap would make the scale infinite, which no finite number of trials supports. Jeffreys's
    prior keeps it finite, as if half a trial more had been seen of each class where it was not (Firth, "Bias reduction
    of maximum likelihood estimates", 1993). Unlike a penalty on the scale, it does not depend on the unit or the zero
    of the scores, and fades where trials are many.

    The scale is always positive, so that EER, minDCF and AUC stay. Where scores tell nothing, or the reverse, the map
    claims nothing: no ratio on dev exceeds `LEAST_CLAIM`.

    Args:
        bonafide_scores: dev scores of bona fide trials ``(N,)``, before any calibration.
        spoof_scores: dev scores of spoofed trials ``(M,)``.
        spoof_prior: effective prior of spoofs: one that takes the costs of errors into account.

    Raises:
        LabError: a class is empty, a score is not finite, or the prior is no probability between 0 and 1.
    """
    real, fake = _finite(bonafide_scores, "bona fide"), _finite(spoof_scores, "spoof")
    score = np.concatenate([real, fake])
    centre = float(score.min() / 2 + score.max() / 2)
    reach = float(score.max() - centre)
    reach = reach if reach > _NO_DIFFERENCE else 1.0
    unit = (score[:, None] - centre) / reach
    scale, offset = fit_logistic(unit[: len(real)], unit[len(real) :], spoof_prior)
    least = min(LEAST_CLAIM / 2, reach)  # scores that hardly differ are not blown up to differ
    if scale < least:
        nothing = unit[:, :0]
        scale = least
        (offset,) = fit_logistic(nothing[: len(real)], nothing[len(real) :], spoof_prior, known=least * unit[:, 0])
    return Affine(float(scale) / reach, float(offset - scale / reach * centre))


def calibrated(table: pd.DataFrame, spoof_prior: float = EFFECTIVE_SPOOF_PRIOR) -> pd.DataFrame:
    """A score table with its scores calibrated on its dev rows; ``raw_score`` keeps them as they were.

    Raises:
        LabError: dev lacks a class, or see `fit_affine`.
    """
    fitted = fit_affine(*by_class(table[table["split"] == "dev"]), spoof_prior)
    return table.assign(score=fitted(table["score"].to_numpy(dtype=float)), raw_score=table["score"])


def fit_logistic(
    bonafide: FloatArray, spoof: FloatArray, spoof_prior: float, *, known: FloatArray | float = 0.0
) -> FloatArray:
    """Prior-weighted logistic regression under Jeffreys's prior: see `fit_affine`.

    Args:
        bonafide: features of bona fide trials ``(N, D)``.
        spoof: features of spoofed trials ``(M, D)``.
        spoof_prior: effective prior of spoofs.
        known: a part of the log-likelihood ratios that is given ``(N + M,)``, bona fide trials first.

    Returns:
        Weights and offset ``(D + 1,)`` of the log-likelihood ratio ``known + features @ weights + offset``. Where
        several do equally well, as for features that repeat another, the smallest in standard deviations.

    Raises:
        LabError: a class is empty, a feature is not finite, or the prior is no probability between 0 and 1.
    """
    _check_share("spoof_prior", spoof_prior)
    counts = [_count(len(bonafide), "bona fide"), _count(len(spoof), "spoof")]
    features = np.concatenate([bonafide, spoof])
    if not np.isfinite(features).all():
        raise LabError(f"{(~np.isfinite(features)).sum()} scores are NaN or infinite: nothing fits them.")
    middle = features.mean(axis=0)
    deviation = features.std(axis=0)
    deviation[deviation <= 1e-12 * np.abs(middle)] = 1.0  # constant, but for rounding
    standard = (features - middle) / deviation
    spread, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    axes = axes[:, spread > 1e-9]
    design = np.column_stack([standard @ axes, np.ones(len(features))])
    solution = _newton(design, counts, spoof_prior, known)
    weights = axes @ solution[:-1] / deviation
    return np.append(weights, solution[-1] - weights @ middle)


def _newton(design: FloatArray, counts: list[int], spoof_prior: float, known: FloatArray | float) -> FloatArray:
    """Coefficients ``(D,)`` that maximise the weighted likelihood times Jeffreys's prior for classes of equal weight.

    In all, trials weigh as many as they are worth (Kish's effective number): a rare class does not pass for many.
    """
    weight = np.repeat(np.array([1 - spoof_prior, spoof_prior]) / counts, counts)
    weight /= weight @ weight
    balance, real = np.repeat(0.5 / np.array(counts), counts), np.repeat([1.0, 0.0], counts)

    def information(ratio: FloatArray) -> FloatArray:
        return np.asarray((design.T * (balance * expit(ratio) * expit(-ratio))) @ design)

    def cost(at: FloatArray) -> float:
        ratio = design @ at + known
        log_odds = ratio - logit(spoof_prior)
        fit = weight @ (np.logaddexp(0, log_odds) - real * log_odds)
        return float(fit - np.linalg.slogdet(information(ratio))[1] / 2)

    solution = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        ratio = design @ solution + known
        even, probability = expit(ratio), expit(ratio - logit(spoof_prior))
        distance = np.einsum("nd,de,ne->n", design, np.linalg.inv(information(ratio)), design)
        prior = balance * even * (1 - even) * distance  # trials, half of either class, that the prior amounts to
        slope = design.T @ (weight * (probability - real) + prior * (even - 0.5))
        curvature = (design.T * (weight * probability * (1 - probability) + prior * even * (1 - even))) @ design
        step = np.linalg.solve(curvature, slope)
        gain = float(slope @ step)
        while gain > 1e-9 * len(design) and cost(solution - step) > cost(solution):  # else costs differ by rounding
            step = step / 2
        solution = solution - step
        if gain < 1e-20:
            break
    return solution


def spoof_probability(scores: Scores, spoof_prior: float = 0.5) -> FloatArray:
    """Probability ``(N,)`` that each trial is fake, of calibrated scores ``(N,)``.

    Raises:
        LabError: a score is NaN, or the prior is no probability between 0 and 1.
    """
    _check_share("spoof_prior", spoof_prior)
    return np.asarray(expit(logit(spoof_prior) - score_array(scores)))


def bayes_threshold(
    spoof_prior: float = SPOOF_PRIOR, cost_miss: float = COST_MISS, cost_false_alarm: float = COST_FALSE_ALARM
) -> float:
    """Calibrated score from which accepting a trial as bona fide has the lower expected cost; by default, -ln 1.9.

    Args:
        spoof_prior: probability that a trial is fake, before listening.
        cost_miss: cost of calling a real recording fake.
        cost_false_alarm: cost of accepting a spoof as real.

    Raises:
        LabError: the prior is no probability between 0 and 1, or a cost is not positive.
    """
    _check_share("spoof_prior", spoof_prior)
    for name, cost in (("cost_miss", cost_miss), ("cost_false_alarm", cost_false_alarm)):
        if not 0 < cost < math.inf:
            raise LabError(f"{name}={cost}: a positive cost is needed.")
    return math.log(cost_false_alarm / cost_miss) + float(logit(spoof_prior))


def threshold_for_false_alarms(bonafide_scores: Scores, spoof_scores: Scores, rate: float) -> float:
    """Lowest threshold at which at most a stated share of the spoofs is accepted as real: score >= threshold.

    It lies midway between two scores, so that no trial sits on it. A rate below 1 / M accepts none of the M spoofs;
    what that says of others is limited: up to 3 / M may still be accepted (95 %, the rule of three).

    Args:
        bonafide_scores: dev scores of bona fide trials ``(N,)``.
        spoof_scores: dev scores of spoofed trials ``(M,)``.
        rate: largest false alarm rate, in [0, 1).

    Raises:
        LabError: a class is empty, a score is not finite, or the rate is none.
    """
    real, fake = _finite(bonafide_scores, "bona fide"), _finite(spoof_scores, "spoof")
    return -_highest_threshold(-fake, np.concatenate([-real, -fake]), rate)


def threshold_for_misses(bonafide_scores: Scores, spoof_scores: Scores, rate: float) -> float:
    """Highest threshold at which at most a share `rate` of the real recordings is called fake: score < threshold.

    For the rest, see `threshold_for_false_alarms`.
    """
    real, fake = _finite(bonafide_scores, "bona fide"), _finite(spoof_scores, "spoof")
    return _highest_threshold(real, np.concatenate([real, fake]), rate)


def _highest_threshold(scores: FloatArray, trials: FloatArray, rate: float) -> float:
    """Highest threshold that at most a share `rate` of the scores falls below, midway to the next lower trial."""
    if not 0 <= rate < 1:
        raise LabError(f"rate={rate}: a share of the trials is needed, from 0 to below 1.")
    first_kept = float(np.sort(scores)[math.floor(rate * len(scores) + 1e-9)])
    lower = trials[trials < first_kept]
    if not len(lower):
        return float(np.nextafter(first_kept, -math.inf))
    below = float(lower.max())
    return below + (first_kept - below) / 2


def reliability(scores: Scores, labels: ArrayLike, prior: float = 0.5, bins: int = 10) -> pd.DataFrame:
    """What calibrated scores claim against what is so: the table behind a reliability diagram.

    Trials are weighted so that spoofs have the prior, whatever their share is in the set.

    Args:
        scores: calibrated scores ``(N,)``.
        labels: labels ``(N,)``, 0 = bona fide, 1 = spoof.
        prior: probability that a trial is fake, before listening.
        bins: number of equal bins of p_fake.

    Returns:
        One row a bin: its bounds ``low`` and ``high``; numbers of trials ``bonafide`` and ``spoof``; ``weight``, its
        share of all weight; ``predicted``, the mean p_fake; ``observed``, the share of fakes, with its 95 % interval
        from ``observed_low`` to ``observed_high`` (Wilson, 1927; trials count as independent). NaN in empty bins.

    Raises:
        LabError: a class is empty, a score is NaN, the prior is no probability or there is no bin.
    """
    if bins < 1:
        raise LabError(f"bins={bins}: at least one is needed.")
    p_fake, label = spoof_probability(scores, prior), np.asarray(labels)
    if len(p_fake) != len(label):
        raise LabError(f"{len(p_fake)} scores and {len(label)} labels: give one of each a trial.")
    totals = [_count(int((label == BONAFIDE).sum()), "bona fide"), _count(int((label == SPOOF).sum()), "spoof")]
    worth = np.array([1 - prior, prior]) / totals
    place = np.minimum((p_fake * bins).astype(int), bins - 1)
    real, fake = (np.bincount(place[label == kind], minlength=bins).astype(float) for kind in (BONAFIDE, SPOOF))
    weight = real * worth[BONAFIDE] + fake * worth[SPOOF]
    edges = np.arange(bins + 1) / bins
    table = {"low": edges[:-1], "high": edges[1:], "bonafide": real.astype(int), "spoof": fake.astype(int)}
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, worth[label] * p_fake, minlength=bins) / weight
        shares = np.stack([fake / (real + fake), *_wilson(fake, real + fake)])
        balanced = shares * worth[SPOOF] / (shares * worth[SPOOF] + (1 - shares) * worth[BONAFIDE])
    named = dict(zip(("observed", "observed_low", "observed_high"), balanced, strict=True))
    return pd.DataFrame(table | {"weight": weight, "predicted": predicted} | named)


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Weighted mean distance of observed and predicted share over the bins of `reliability` (Naeini et al., 2015)."""
    return float((table["weight"] * (table["observed"] - table["predicted"]).abs()).sum())


def _wilson(successes: FloatArray, trials: FloatArray) -> tuple[FloatArray, FloatArray]:
    half = _Z_95 * np.sqrt(successes * (trials - successes) / trials + _Z_95**2 / 4)
    low, high = ((successes + _Z_95**2 / 2 + sign * half) / (trials + _Z_95**2) for sign in (-1, 1))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def _finite(scores: Scores, kind: str) -> FloatArray:
    """Scores of one class as an array, all there and finite."""
    array = score_array(scores, kind)
    _count(array.size, kind)
    if not np.isfinite(array).all():
        raise LabError(f"{(~np.isfinite(array)).sum()} of {array.size} {kind} scores are infinite: nothing fits them.")
    return array


def _count(trials: int, kind: str) -> int:
    if not trials:
        raise LabError(f"There are no {kind} trials: calibration and thresholds need a dev set of both classes.")
    return trials


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise LabError(f"{name}={value}: a probability between 0 and 1 is needed.")
