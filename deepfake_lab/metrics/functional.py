"""Metrics of detection as pure functions of two sets of scores, so that no label convention can be got wrong.

Definitions are those of ASVspoof 5, Track 1 (Wang et al., "ASVspoof 5: crowdsourced speech data, deepfakes, and
adversarial attacks at scale", 2024, and its evaluation plan): higher scores are more bona fide, the detection error
trade-off steps through the trials one by one, and equal scores resolve bona fide first, which is the pessimistic order.

Scores are NumPy arrays or tensors on any device. An empty class gives NaN; NaN scores raise a `LabError` that says how
many there are and where.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deepfake_lab.metrics.ranking import FloatArray, RankedTrials
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.metrics.ranking import Scores

ASV_PRIORS = (0.9405, 0.0095, 0.05)
"""Priors of target, non-target and spoofed trials in the tandem DCF of ASVspoof 2019 and 2021."""
ASV_COST_FALSE_ALARM = 10.0


class Confusion(NamedTuple):
    """Numbers of decisions; the positive class is fake."""

    tp: int
    fp: int
    tn: int
    fn: int


class DetCurve(NamedTuple):
    """Detection error trade-off: one point before the first trial and one after each, ``(N + 1,)`` each.

    Attributes:
        miss_rate: share of bona fide trials rejected, rising from 0 to 1.
        false_alarm_rate: share of spoofs accepted, falling from 1 to 0.
        threshold: highest score rejected at the point.
    """

    miss_rate: FloatArray
    false_alarm_rate: FloatArray
    threshold: FloatArray


class AsvErrors(NamedTuple):
    """Error rates of the speaker verification system that the tandem DCF puts behind the detector."""

    miss: float
    false_alarm: float
    spoof_false_alarm: float


def eer(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Equal error rate: mean of miss and false alarm rate where they are closest, without interpolation.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``.
        spoof_scores: scores of spoofed trials ``(M,)``.

    Returns:
        A rate in [0, 1]; 1 where all scores are equal.

    Raises:
        LabError: a score is NaN.
    """
    return RankedTrials.of(bonafide_scores, spoof_scores).eer()


def min_dcf(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Detection cost at the best threshold: the least 1.9 miss rate + false alarm rate, in [0, 1].

    Spoofs have the prior 0.05, a miss costs 1 and a false alarm 10; normalised by the better constant decision.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``.
        spoof_scores: scores of spoofed trials ``(M,)``.

    Raises:
        LabError: a score is NaN.
    """
    return RankedTrials.of(bonafide_scores, spoof_scores).min_dcf()


def act_dcf(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Detection cost of accepting as bona fide what scores at least -ln 1.9, in [0, 2.9].

    That is the Bayes decision where scores are log-likelihood ratios, so the excess over `min_dcf` is what
    calibration would gain.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``.
        spoof_scores: scores of spoofed trials ``(M,)``.

    Raises:
        LabError: a score is NaN.
    """
    return RankedTrials.of(bonafide_scores, spoof_scores).act_dcf()


def cllr(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Cost of the log-likelihood ratios (Brummer & du Preez, 2006), in bits: 0 is perfect, 1 says nothing.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``, natural logarithms.
        spoof_scores: scores of spoofed trials ``(M,)``.

    Raises:
        LabError: a score is NaN.
    """
    return RankedTrials.of(bonafide_scores, spoof_scores).cllr()


def roc_auc(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Area under the ROC curve: probability that a spoof scores below a bona fide trial, ties counting half.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``.
        spoof_scores: scores of spoofed trials ``(M,)``.

    Raises:
        LabError: a score is NaN.
    """
    return RankedTrials.of(bonafide_scores, spoof_scores).roc_auc()


def eer_threshold(bonafide_scores: Scores, spoof_scores: Scores) -> float:
    """Threshold at which the rule `score >= threshold` makes miss and false alarm rate as equal as it can.

    It lies midway between two scores, so that no trial sits on it. (The official code names the highest rejected
    score, which the rule would accept.) Where no scores tie across the classes, its errors are those of the EER.

    Raises:
        LabError: a score is NaN.
    """
    return _threshold(RankedTrials.of(bonafide_scores, spoof_scores))


def det_curve(bonafide_scores: Scores, spoof_scores: Scores) -> DetCurve:
    """All points of the detection error trade-off in the official order; the first rejects nothing.

    Raises:
        LabError: a score is NaN.
    """
    trials = RankedTrials.of(bonafide_scores, spoof_scores)
    thresholds = np.concatenate([trials.score[:1] - 0.001, trials.score])
    return DetCurve(trials.miss_rate(), trials.false_alarm_rate(), thresholds)


def confusion(bonafide_scores: Scores, spoof_scores: Scores, threshold: float) -> Confusion:
    """Numbers of decisions where a trial is accepted as bona fide if score >= threshold.

    Raises:
        LabError: a score or the threshold is NaN.
    """
    if math.isnan(threshold):
        raise LabError("The threshold is NaN, as trials of a single class have none: take it from a dev set of both.")
    return Confusion(*map(int, _decisions(RankedTrials.of(bonafide_scores, spoof_scores), threshold)))


def detection_metrics(
    bonafide_scores: Scores, spoof_scores: Scores, threshold: float | None = None
) -> dict[str, float]:
    """Every metric that the lab reports, by name; precision, recall and F1 are those of the fake class.

    A quotient of nothing is 0 for precision (no trial was called fake), recall and F1, as scikit-learn has it.

    Args:
        bonafide_scores: scores of bona fide trials ``(N,)``.
        spoof_scores: scores of spoofed trials ``(M,)``.
        threshold: a trial is accepted as bona fide if score >= threshold; by default the trials' own EER threshold,
            which a single class does not have: its decisions are NaN.

    Raises:
        LabError: a score is NaN.
    """
    trials = RankedTrials.of(bonafide_scores, spoof_scores)
    tp, fp, tn, fn = _decisions(trials, _threshold(trials) if threshold is None else threshold)
    return {
        "eer": trials.eer(),
        "min_dcf": trials.min_dcf(),
        "act_dcf": trials.act_dcf(),
        "cllr": trials.cllr(),
        "roc_auc": trials.roc_auc(),
        "accuracy": _ratio(tp + tn, tp + fp + tn + fn, math.nan),
        "balanced_accuracy": (_ratio(tp, tp + fn, math.nan) + _ratio(tn, tn + fp, math.nan)) / 2,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "cm/tp": tp,
        "cm/fp": fp,
        "cm/tn": tn,
        "cm/fn": fn,
    }


def min_tdcf_2019(bonafide_scores: Scores, spoof_scores: Scores, asv: AsvErrors) -> float:
    """Least tandem DCF in the form of ASVspoof 2019 (Kinnunen et al., 2018), normalised.

    Raises:
        LabError: a score is NaN.
    """
    _, miss_cost, alarm_cost = _tandem_costs(asv)
    trials = RankedTrials.of(bonafide_scores, spoof_scores)
    cost = miss_cost * trials.miss_rate() + alarm_cost * trials.false_alarm_rate()
    return float(cost.min() / min(miss_cost, alarm_cost))


def min_tdcf_2021(bonafide_scores: Scores, spoof_scores: Scores, asv: AsvErrors) -> float:
    """Least tandem DCF in the form of ASVspoof 2021 (Kinnunen et al., 2020), normalised.

    Raises:
        LabError: a score is NaN.
    """
    floor, miss_cost, alarm_cost = _tandem_costs(asv)
    trials = RankedTrials.of(bonafide_scores, spoof_scores)
    cost = floor + miss_cost * trials.miss_rate() + alarm_cost * trials.false_alarm_rate()
    return float(cost.min() / (floor + min(miss_cost, alarm_cost)))


def _tandem_costs(asv: AsvErrors) -> tuple[float, float, float]:
    target, nontarget, spoof = ASV_PRIORS
    floor = target * asv.miss + ASV_COST_FALSE_ALARM * nontarget * asv.false_alarm
    return floor, target - floor, ASV_COST_FALSE_ALARM * spoof * asv.spoof_false_alarm


def _threshold(trials: RankedTrials) -> float:
    if trials.bonafide.all() or not trials.bonafide.any():
        return math.nan
    score = trials.score
    between = np.flatnonzero(score[1:] > score[:-1]) + 1  # rejecting this many trials parts no equal scores
    rejected = np.concatenate([[0], between, [len(score)]])
    gap = np.abs(trials.miss_rate()[rejected] - trials.false_alarm_rate()[rejected])
    count = int(rejected[gap.argmin()])
    if count in (0, len(score)):
        return float(score[0] if count == 0 else np.nextafter(score[-1], np.inf))
    below, above = float(score[count - 1]), float(score[count])
    middle = below / 2 + above / 2
    return middle if below < middle <= above else above


def _decisions(trials: RankedTrials, threshold: float) -> tuple[float, float, float, float]:
    if math.isnan(threshold):  # of a single class: no threshold, no decisions
        return math.nan, math.nan, math.nan, math.nan
    return trials.confusion(threshold)


def _ratio(part: float, whole: float, nothing: float = 0.0) -> float:
    return part / whole if whole else nothing
