"""Operating points: thresholds that dev gives for a purpose, and what they cost on every split."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from deepfake_lab.evaluation.bootstrap import Interval, intervals_of, resample
from deepfake_lab.evaluation.breakdown import Cluster, cells_of
from deepfake_lab.evaluation.calibrate import bayes_threshold, threshold_for_false_alarms, threshold_for_misses
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import SPLITS, Split

ERROR_RATE: Final = 0.01
"""Share of errors of one kind that two of the operating points allow on dev."""


class OperatingPoint(NamedTuple):
    """A threshold and the errors it makes.

    Attributes:
        name: what it is for.
        threshold: a trial is accepted as bona fide if score >= threshold.
        misses: share of bona fide trials called fake, by split.
        false_alarms: share of spoofs accepted as real, by split.
    """

    name: str
    threshold: float
    misses: dict[Split, Estimate]
    false_alarms: dict[Split, Estimate]


def operating_points(
    table: pd.DataFrame, eer_threshold: float, *, cluster: Cluster = "group", replicates: int = 1000, seed: int = 0
) -> list[OperatingPoint]:
    """The thresholds that a table's dev trials give, and their errors on each split that has both classes.

    Equal errors on dev; the costs of ASVspoof 5, by which calibrated scores decide without looking at data; and at most
    1 % of the real recordings called fake, or of the fakes accepted, on dev.

    Args:
        table: score table.
        eer_threshold: score at equal errors on dev; NaN if none is known.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        LabError: a score is NaN.
    """
    thresholds = {"equal errors on dev": eer_threshold, "costs of ASVspoof 5": bayes_threshold()}
    real, fake = by_class(table[table["split"] == "dev"])
    if len(real) and len(fake):
        thresholds[f"{ERROR_RATE:.0%} of real called fake on dev"] = threshold_for_misses(real, fake, ERROR_RATE)
        thresholds[f"{ERROR_RATE:.0%} of fakes accepted on dev"] = threshold_for_false_alarms(real, fake, ERROR_RATE)
    points = {name: OperatingPoint(name, at, {}, {}) for name, at in thresholds.items() if not math.isnan(at)}
    for split in SPLITS:
        trials = table[table["split"] == split]
        if trials["label"].nunique() < 2:
            continue
        group, names = pd.factorize(trials[cluster], sort=True)
        cells = [cells_of(trials, (), group, point.threshold)[0] for point in points.values()]
        drawn = resample(cells, len(names), replicates=replicates, seed=seed)
        for point, values in zip(points.values(), drawn, strict=True):
            accuracy, recall = (values[:, 0, MEASURES.index(name)] for name in ("balanced_accuracy", "recall"))
            few = int(cells[0].groups.min())
            point.misses[split] = _rate(1 - (2 * accuracy - recall), few)
            point.false_alarms[split] = _rate(1 - recall, few)
    return list(points.values())


def _rate(values: FloatArray, groups: int) -> Estimate:
    """A rate and its interval, of its replicates ``(1 + R,)``; rounding must not take it below 0."""
    values = np.clip(values, 0.0, 1.0).round(12)
    low, high = intervals_of(values, groups)
    return Estimate(float(values[0]), Interval(float(low), float(high)))
