"""Two detectors, or several seeds of each, over the same trials: is one better, by how much, how surely?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from deepfake_lab.evaluation.bootstrap import Interval, bounds_of, intervals_of, resample, touches_zero
from deepfake_lab.evaluation.breakdown import Cluster, cells_of
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.evaluation.scores import same_trials
from deepfake_lab.metrics.ranking import MISS_WEIGHT, FloatArray

SIGNIFICANT = 0.05
LOWER_IS_BETTER = ("eer", "min_dcf", "act_dcf", "cllr")
HIGHEST = {"act_dcf": 1 + MISS_WEIGHT, "cllr": math.inf}
"""Largest value of the metrics that exceed 1."""


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    interval: Interval


class Comparison(NamedTuple):
    """A metric of two detectors over the same trials.

    Attributes:
        measure: name of the metric.
        first: the first detector's, the mean of its seeds.
        second: the second detector's.
        difference: second minus first.
        p_value: probability of a difference at least as large where there is none, two-sided.
    """

    measure: str
    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float

    @property
    def better(self) -> str:
        """Which detector is shown to be better: "first", "second", or "" where no difference is shown."""
        if not self.p_value < SIGNIFICANT:
            return ""
        return "second" if (self.difference.value < 0) == (self.measure in LOWER_IS_BETTER) else "first"


def compare(
    first: Sequence[pd.DataFrame],
    second: Sequence[pd.DataFrame],
    *,
    measures: Sequence[str] = MEASURES[:5],
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> list[Comparison]:
    """Compares two detectors on trials that both have scored, drawing the same groups for both.

    With one table of each, the interval is that of `deepfake_lab.evaluation.bootstrap.bounds_of`, and the p-value
    is the level at which it would touch zero. With several seeds of a detector the variance between them, over their
    number, adds to that over the trials, and the interval is Student's, with the degrees of freedom of Welch and
    Satterthwaite: three seeds say little of the fourth, and the interval shows it. A detector with a single seed is
    taken to vary as the other does.

    Args:
        first: score tables of the first detector, one a seed, of one split.
        second: those of the second detector, of the same trials.
        measures: names of metrics that need no threshold.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        LabError: the tables are not of the same trials, or a score is NaN.
    """
    values, groups = _draw([*first, *second], cluster, replicates, seed)
    comparisons = []
    for measure in measures:
        sides = values[: len(first)], values[len(first) :]
        one, two = ([value[:, MEASURES.index(measure)] for value in side] for side in sides)
        difference, p_value = _estimate(groups, two, minus=one)
        of_one, of_two = (_of_side(groups, side, measure) for side in sides)
        comparisons.append(Comparison(measure, of_one, of_two, difference, p_value))
    return comparisons


def pooled_estimate(
    tables: Sequence[pd.DataFrame],
    measure: str = "eer",
    *,
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Mean of a metric over several seeds, with an interval over seeds and trials together: see `compare`.

    Raises:
        LabError: the tables are not of the same trials, or a score is NaN.
    """
    values, groups = _draw(tables, cluster, replicates, seed)
    return _of_side(groups, values, measure)


def in_words(comparison: Comparison, first: str, second: str, title: str) -> str:
    """One sentence about a comparison: who is better, by how much, how surely; or that no difference is shown.

    Args:
        comparison: what to tell.
        first: name of the first detector.
        second: name of the second detector.
        title: name of the metric for people.
    """
    scale, unit = (100, " points") if comparison.measure in ("eer", "roc_auc") else (1, "")
    low, high = (scale * bound for bound in comparison.difference.interval)
    figures = f"{second} - {first} = {scale * comparison.difference.value:+.3g}{unit} ({low:+.3g} to {high:+.3g})"
    figures += f", p {p_text(comparison.p_value)}"
    if comparison.better:
        return f"{title}: {second if comparison.better == 'second' else first} is better: {figures}."
    return f"{title}: no difference shown: {figures}."


def p_text(p_value: float) -> str:
    """A p-value as one writes it behind a p: ``= 0.012``, or ``< 0.001``."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


class _Drawn(NamedTuple):
    """What `Cells.measures` gives of each table over the same draws ``(1 + R, ...)``, and the number of groups."""

    values: list[FloatArray]
    groups: int


def _draw(tables: Sequence[pd.DataFrame], cluster: Cluster, replicates: int, seed: int) -> _Drawn:
    aligned = same_trials({f"score table {number}": table for number, table in enumerate(tables, 1)})
    group, names = pd.factorize(aligned[0][cluster], sort=True)
    cells = [cells_of(table, (), group, math.nan)[0] for table in aligned]
    values = resample(cells, len(names), replicates=replicates, seed=seed)
    return _Drawn([value[:, 0] for value in values], int(cells[0].groups.min()))


def _estimate(groups: int, seeds: Sequence[FloatArray], minus: Sequence[FloatArray] = ()) -> tuple[Estimate, float]:
    """Mean over seeds, less the mean over those of another detector, and the p-value of its being zero.

    Args:
        groups: number of groups of trials.
        seeds: of each seed the value, then its replicates ``(1 + R,)``.
        minus: the same of the detector to subtract.
    """
    sides = [np.stack(side) for side in (seeds, minus) if side]
    mean = sides[0].mean(axis=0) - (sides[1].mean(axis=0) if minus else 0)
    value, drawn = float(mean[0]), mean[1:][~np.isnan(mean[1:])]
    spreads = _between_seeds([side[:, 0] for side in sides])
    if not spreads or len(drawn) < 2:
        low, high = intervals_of(mean, groups)
        return Estimate(value, Interval(float(low), float(high))), touches_zero(mean, groups)
    spreads.append((float(drawn.var(ddof=1)), max(groups - 1, 1)))
    variance = sum(spread for spread, _ in spreads)
    if not variance:
        return Estimate(value, Interval(value, value)), float(value == 0)
    freedom = variance**2 / sum(spread**2 / number for spread, number in spreads)
    error = math.sqrt(variance)
    reach = float(stats.t.ppf(0.975, freedom)) * error
    return Estimate(value, Interval(value - reach, value + reach)), float(2 * stats.t.sf(abs(value) / error, freedom))


def _of_side(groups: int, seeds: Sequence[FloatArray], measure: str) -> Estimate:
    """Mean of a metric over the seeds of a detector, with an interval that stays within what the metric can be."""
    place = MEASURES.index(measure)
    if len(seeds) == 1:
        value, (low, high) = float(seeds[0][0, place]), (float(bound[place]) for bound in bounds_of(seeds[0], groups))
    else:
        value, (low, high) = _estimate(groups, [seed[:, place] for seed in seeds])[0]
    return Estimate(value, Interval(max(low, 0.0), min(high, HIGHEST.get(measure, 1.0))))


def _between_seeds(sides: Sequence[FloatArray]) -> list[tuple[float, int]]:
    """Variance of each side's mean over seeds, and its degrees of freedom; none where there is one seed of each."""
    known = {number: float(side.var(ddof=1)) for number, side in enumerate(sides) if len(side) > 1}
    if not known:
        return []
    other = next(iter(known))
    chosen = [number if number in known else other for number in range(len(sides))]
    return [(known[one] / len(side), len(sides[one]) - 1) for side, one in zip(sides, chosen, strict=True)]
