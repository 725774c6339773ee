"""Confidence intervals by a bootstrap that draws whole groups, since copies of one sentence are not independent trials.

A replicate draws as many groups as there are, with replacement and jointly over both classes: a bona fide recording
and the spoofs made from it come and go together (Field & Welsh, "Bootstrapping clustered data", 2007). How often the
intervals cover the truth is measured in `experiments/intervals`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from deepfake_lab.evaluation.cells import MEASURES, SOBER_DCF, Cells
from deepfake_lab.metrics.ranking import FloatArray, IntArray, RankedTrials, score_array
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

if TYPE_CHECKING:
    from deepfake_lab.metrics.ranking import Scores

BLOCK = 200_000
"""Trials of all replicates held at once in a thread: a block stays in the cache."""


class Interval(NamedTuple):
    """Bounds of an interval; NaN where there is nothing to bound."""

    low: float
    high: float


def resample(cells: Sequence[Cells], groups: int, *, replicates: int = 1000, seed: int = 0) -> list[FloatArray]:
    """Metrics of cells on the trials as they are, and on so many resamplings of their groups.

    Every replicate draws the same groups for all cells, so that their metrics can be compared; and the same seed draws
    the same groups for other detectors' scores of the same trials.

    Args:
        cells: what to measure.
        groups: number of groups.
        replicates: number of resamplings.
        seed: of the resampling.

    Returns:
        What `Cells.measures` gives ``(1 + replicates, C, len(MEASURES) + 1)`` for each of `cells`; the first row is
        that of the trials as they are. NaN where a replicate draws no trial of a class.
    """
    results = [np.empty((1 + replicates, len(one), len(MEASURES) + 1)) for one in cells]
    size = max(1, BLOCK // max(1, groups, *(one.trials for one in cells)))
    strata = strata_of([one.members for one in cells], groups)

    def fill(rows: slice, weights: IntArray) -> None:
        for one, result in zip(cells, results, strict=True):
            result[rows] = one.measures(weights)

    def replicate(first: int) -> None:
        rows = slice(first, min(first + size, 1 + replicates))
        fill(rows, draw_groups(strata, rows.stop - rows.start, np.random.default_rng([seed, first])))

    fill(slice(0, 1), np.ones((1, groups), np.int64))
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy lets them run side by side
        for done in [threads.submit(replicate, first) for first in range(1, 1 + replicates, size)]:
            done.result()
    return results


def bounds_of(values: FloatArray, groups: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Bounds of the intervals of all metrics: those of `intervals_of`, but for the upper bound of minDCF.

    A threshold that is chosen on the trials makes the least cost look too good, and the replicates of the same trials,
    which choose theirs near it, see half of that. The upper bound is the percentile of their sober costs.

    Args:
        values: see `resample`, ``(1 + R, ..., len(MEASURES) + 1)``.
        groups: number of groups behind each cell ``(...)``, the fewer of either class.
        level: probability that an interval is to cover.

    Returns:
        Lower and upper bounds ``(..., len(MEASURES))``.
    """
    count = np.asarray(groups)
    low, high = intervals_of(values[..., :SOBER_DCF], count[..., None], level)
    (sober,) = _percentiles(values[..., SOBER_DCF], _reach(count, level))
    high[..., MEASURES.index("min_dcf")] = np.minimum(sober, 1.0)
    return low, high


def intervals_of(values: FloatArray, groups: ArrayLike, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Bounds of intervals: bias-corrected percentiles, a little farther out where there are few groups.

    What is smallest over thresholds looks too good, and in a replicate of the same trials once more; the correction for
    the median bias counters that. The percentiles are those of Student's distribution and of the unbiased variance.

    Args:
        values: estimates, then their replicates ``(1 + R, ...)``; replicates that are NaN are left out.
        groups: number of groups behind each estimate, the fewer of either class; it broadcasts to ``(...)``.
        level: probability that an interval is to cover.

    Returns:
        Lower and upper bounds ``(...)``; NaN where there is nothing to bound.

    Source:
        Efron, "Nonparametric standard errors and confidence intervals", 1981 (bias-corrected percentiles).
        Hesterberg, "What teachers should know about the bootstrap", 2015 (expanded percentiles).
    """
    reach, middle = _reach(groups, level), 2 * _bias(values)
    low, high = _percentiles(values, middle - reach, middle + reach)
    return low, high


def bound_without_errors(groups: int) -> float:
    """Rate below which the error of a kind lies, with 95 % confidence, of which so many groups have shown none.

    Source:
        Clopper and Pearson, "The use of confidence or fiducial limits", 1934.
    """
    return float(1 - 0.025 ** (1 / groups))


def touches_zero(values: FloatArray, groups: int) -> float:
    """Two-sided p-value of an estimate's being zero: that of the widest interval of `intervals_of` without zero.

    Args:
        values: an estimate, then its replicates ``(1 + R,)``.
        groups: number of groups behind it.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    if not drawn.size or np.isnan(values[0]):
        return math.nan
    below = ((drawn < 0).sum() + (drawn == 0).sum() / 2 + 0.5) / (len(drawn) + 1)  # never 0: replicates are finite
    reach = (ndtri(below) - 2 * float(_bias(values))) / (_reach(groups, 0.95) / ndtri(0.975))
    return float(2 * ndtr(-abs(reach)))


def _bias(values: FloatArray) -> FloatArray:
    """Median bias of replicates, in standard deviations ``(...)``."""
    drawn = np.maximum((~np.isnan(values[1:])).sum(axis=0), 1)
    below = ((values[1:] < values[0]).sum(axis=0) + (values[1:] == values[0]).sum(axis=0) / 2) / drawn
    return np.asarray(ndtri(np.clip(below, 1 / (drawn + 1), drawn / (drawn + 1))))


def _percentiles(values: FloatArray, *deviations: FloatArray) -> list[FloatArray]:
    """Replicates ``(...)`` so many standard deviations above the median, were they normal; NaN where there are none."""
    ordered = np.sort(values[1:], axis=0)  # NaN comes last
    last = np.maximum((~np.isnan(values[1:])).sum(axis=0) - 1, 0)
    found = []
    for place in (ndtr(each) * last for each in deviations):
        under = np.floor(place).astype(np.int64)
        below, above = (np.take_along_axis(ordered, at[None], 0)[0] for at in (under, np.minimum(under + 1, last)))
        found.append(np.asarray(below + (place - under) * (above - below)))
    return found


def _reach(groups: ArrayLike, level: float) -> FloatArray:
    """Standard deviations from the middle of an interval to its ends."""
    count = np.maximum(np.asarray(groups, dtype=float), 2)
    return np.asarray(stdtrit(count - 1, (1 + level) / 2) * np.sqrt(count / (count - 1)))


def clustered_interval(
    scores: Scores,
    labels: ArrayLike,
    groups: ArrayLike,
    measure: str = "eer",
    *,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a metric under resampling of groups: see `intervals_of`.

    It speaks of new groups from the same source, not of new attacks, speakers or training runs. Where the classes are
    parted perfectly every replicate agrees, and the interval is a point: few trials then say less than it seems.

    Args:
        scores: scores ``(N,)``, higher = more bona fide.
        labels: labels ``(N,)``, 0 = bona fide, 1 = spoof.
        groups: name of the group of each trial ``(N,)``.
        measure: what to bound: a name of `deepfake_lab.evaluation.cells.MEASURES` that needs no threshold.
        replicates: number of resamplings; those that draw no trial of a class are left out.
        level: probability that the interval is to cover.
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        LabError: the three do not have the same length, or a score is NaN.
    """
    label, group = np.asarray(labels), np.asarray(groups)
    if not len(scores) == len(label) == len(group):
        raise LabError(f"{len(scores)} scores, {len(label)} labels and {len(group)} groups: give one of each a trial.")
    names, number = np.unique(group, return_inverse=True)
    real, fake = label == BONAFIDE, label == SPOOF
    score = score_array(scores)
    cells = Cells(
        score[real],
        score[fake],
        groups=(number[real], number[fake]),
        parts=np.zeros(real.sum(), np.int64),
        cells=np.zeros(fake.sum(), np.int64),
        part_of=np.zeros(1, np.int64),
        threshold=np.nan,
    )
    (values,) = resample([cells], len(names), replicates=replicates, seed=seed)
    low, high = bounds_of(values[:, 0], cells.groups.min(), level)
    place = MEASURES.index(measure)
    return Interval(float(low[place]), float(high[place]))


def chance_eer_interval(
    bonafide: int, spoof: int, *, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Where the EER of scores that know nothing lies: labels permuted over trials.

    Args:
        bonafide: number of bona fide trials.
        spoof: number of spoofs.
        replicates: number of permutations.
        level: share of the permutations within the interval.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    score, label = np.arange(bonafide + spoof, dtype=float), np.arange(bonafide + spoof) < bonafide
    rates = [RankedTrials(score, rng.permutation(label)).eer() for _ in range(replicates)]
    if not bonafide * spoof:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def strata_of(members: Iterable[tuple[IntArray, IntArray]], groups: int) -> list[IntArray]:
    """Groups of bona fide trials alone, of spoofs alone, and of both (and those without a trial).

    Args:
        members: group of every bona fide trial and of every spoof.
        groups: number of groups.
    """
    kind = np.zeros(groups, np.int64)
    for classes in members:
        for number, member in enumerate(classes):
            kind[member] |= 1 << number
    return [np.flatnonzero(kind == number) for number in range(4)]


def draw_groups(strata: Sequence[IntArray], rows: int, rng: np.random.Generator) -> IntArray:
    """How often each group is drawn ``(rows, groups)``: multinomial in each stratum, as counts of uniform draws.

    Strata keep the number of groups of either class, which an evaluation has chosen and did not draw.
    """
    weights = np.zeros((rows, sum(map(len, strata))), np.int64)
    for members in filter(len, strata):
        size = len(members)
        draws = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        weights[:, members] = np.bincount(draws.ravel(), minlength=rows * size).reshape(rows, size)
    return weights
