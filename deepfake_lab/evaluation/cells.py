"""Cells of trials that are resampled together: every metric of every cell, for many reweightings at once.

Sorting does not depend on how often a trial counts. So each cell is sorted once, and what a replicate of the bootstrap
costs is a few passes over cumulated weights, shared by all cells. The metrics are those of
`deepfake_lab.metrics.functional` on trials that are really repeated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepfake_lab.metrics.ranking import BAYES_THRESHOLD, MISS_WEIGHT, FloatArray, IntArray, cost_in_nats, share

MEASURES = (
    "eer",
    "min_dcf",
    "act_dcf",
    "cllr",
    "roc_auc",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
)
"""Names of the metrics, in the order of the last axis of `Cells.measures`."""
SOBER_DCF = len(MEASURES)
"""Place behind the metrics: the cost that minDCF would have if no threshold were chosen on the very trials."""


class _Ranked(NamedTuple):
    """Trials of one class, sorted by cell and score.

    Attributes:
        group: group of each trial ``(N,)``.
        first: first trial of each cell, and the number of all ``(C + 1,)``.
        rejected: first trial of each cell that is accepted at the Bayes threshold and at the decision threshold
            ``(2, C)``.
        nats: what each trial adds to Cllr ``(N,)``.
    """

    group: IntArray
    first: IntArray
    rejected: IntArray
    nats: FloatArray


class _Runs(NamedTuple):
    """Spoofs of one cell that no bona fide trial parts, in ascending order of score; ``(K,)`` each.

    Attributes:
        begin: first spoof.
        end: spoof after the last.
        below: number of bona fide trials with a lower score, as a place in the sorted class.
        not_above: number of bona fide trials with a lower or the same score.
        first: first run of each cell that has both classes, and the number of all.
    """

    begin: IntArray
    end: IntArray
    below: IntArray
    not_above: IntArray
    first: IntArray


class Cells:
    """Trials parted into cells, each of them some spoofs against some bona fide trials.

    Cells share no spoofs, but may share bona fide trials: all of them in a breakdown by attack.

    Args:
        bonafide: scores of bona fide trials ``(N,)``, higher = more bona fide; no NaN.
        spoof: scores of spoofs ``(M,)``.
        groups: groups of the bona fide trials ``(N,)`` and of the spoofs ``(M,)``, numbers from 0.
        parts: part that each bona fide trial belongs to ``(N,)``, numbers from 0.
        cells: cell that each spoof belongs to ``(M,)``, numbers from 0.
        part_of: part of bona fide trials that each cell is measured against ``(C,)``.
        threshold: a trial is accepted as bona fide if score >= threshold; NaN if none is known.
    """

    def __init__(
        self,
        bonafide: FloatArray,
        spoof: FloatArray,
        *,
        groups: tuple[IntArray, IntArray],
        parts: IntArray,
        cells: IntArray,
        part_of: IntArray,
        threshold: float,
    ) -> None:
        self.decides = not math.isnan(threshold)
        self.part_of = part_of
        limits = (BAYES_THRESHOLD, threshold if self.decides else math.inf)
        self._real, real = _ranked(bonafide, groups[0], parts, int(part_of.max(initial=-1)) + 1, limits, -1.0)
        self._fake, fake = _ranked(spoof, groups[1], cells, len(part_of), limits, 1.0)
        sizes = np.diff(self._real.first)[part_of], np.diff(self._fake.first)
        self.counts = np.stack(sizes, axis=1)
        """Number of bona fide trials and of spoofs in each cell ``(C, 2)``."""
        self.groups = np.stack([_groups(self._real)[part_of], _groups(self._fake)], axis=1)
        """Number of groups of either class in each cell ``(C, 2)``."""
        self._both = np.flatnonzero((sizes[0] > 0) & (sizes[1] > 0))
        self._runs = self._find_runs(real, fake)
        self._cheapest = self._find_cheapest()

    def __len__(self) -> int:
        return len(self.part_of)

    @property
    def members(self) -> tuple[IntArray, IntArray]:
        """Group of every bona fide trial and of every spoof."""
        return self._real.group, self._fake.group

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self._real.group) + len(self._fake.group)

    def measures(self, weights: IntArray) -> FloatArray:
        """Metrics of every cell under weights of groups.

        Args:
            weights: how often each group counts ``(R, G)``.

        Returns:
            Metrics, and `SOBER_DCF` behind them ``(R, C, len(MEASURES) + 1)``; NaN where a class of the cell has no
            weight, or there is no threshold.
        """
        real, fake = (_Weighed.of(ranked, weights) for ranked in (self._real, self._fake))
        real_total, fake_total = real.total[:, self.part_of].astype(float), fake.total.astype(float)
        values = np.full((len(weights), len(self), len(MEASURES) + 1), np.nan)
        values[:, self._both, 0] = self._eer(real, fake)
        values[:, self._both, 1], values[:, self._both, SOBER_DCF] = self._min_dcf(real, fake)
        values[:, self._both, 4] = self._roc_auc(real, fake)
        missed = share(real.rejected[0][:, self.part_of], real_total)
        accepted = share(fake_total - fake.rejected[0], fake_total)
        values[..., 2] = MISS_WEIGHT * missed + accepted
        costs = share(real.nats[:, self.part_of], real_total) + share(fake.nats, fake_total)
        values[..., 3] = costs / (2 * math.log(2))
        if self.decides:
            fp, tp = real.rejected[1][:, self.part_of].astype(float), fake.rejected[1].astype(float)
            values[..., 5:SOBER_DCF] = _decisions(tp, fp, real_total - fp, fake_total - tp)
        return values

    def _find_runs(self, real: FloatArray, fake: FloatArray) -> _Runs:
        """Runs of the cells that have both classes, given the sorted scores."""
        begins, ends, below, not_above, first = [], [], [], [], [0]
        for cell in self._both:
            start, stop = self._fake.first[cell : cell + 2]
            real_start, real_stop = self._real.first[self.part_of[cell] : self.part_of[cell] + 2]
            low, high = (
                real_start + np.searchsorted(real[real_start:real_stop], fake[start:stop], side)
                for side in ("left", "right")
            )
            opens = np.flatnonzero(np.append(True, (np.diff(low) > 0) | (np.diff(high) > 0)))
            begins.append(start + opens)
            ends.append(start + np.append(opens[1:], stop - start))
            below.append(low[opens])
            not_above.append(high[opens])
            first.append(first[-1] + len(opens))
        joined = [np.concatenate([np.empty(0, np.int64), *lists]) for lists in (begins, ends, below, not_above)]
        return _Runs(joined[0], joined[1], joined[2], joined[3], np.array(first))

    def _eer(self, real: _Weighed, fake: _Weighed) -> FloatArray:
        """Equal error rates ``(R, C')`` of the cells that have both classes.

        Rejecting the lowest trials one by one, bona fide first among equals, miss and false alarm rate cross where
        ``real * fakes + fake * reals`` reaches ``reals * fakes``: a bisection finds first the run, then the trial.
        """
        cells, runs = self._both, self._runs
        shape = (len(real.sums), len(cells))
        parts = self.part_of[cells]
        reals, fakes = real.total[:, parts], fake.total[:, cells]
        real_base, fake_base = real.base[:, parts], fake.base[:, cells]

        def crossed(real_place: IntArray, fake_place: IntArray) -> NDArray[np.bool_]:
            rejected_real = np.take_along_axis(real.sums, real_place, 1) - real_base
            rejected_fake = np.take_along_axis(fake.sums, fake_place, 1) - fake_base
            return rejected_real * fakes + rejected_fake * reals >= reals * fakes

        low, high = (np.broadcast_to(edge, shape) for edge in (runs.first[:-1], runs.first[1:] - 1))
        run = _bisect(low, high, lambda place: crossed(runs.not_above[place], runs.end[place]))
        begin, end, top = runs.begin[run], runs.end[run], runs.not_above[run]
        bottom = np.where(run > runs.first[:-1], runs.not_above[np.maximum(run - 1, 0)], self._real.first[parts])
        in_real = crossed(top, begin)  # the crossing lies among the bona fide trials below the run
        place = _bisect(
            np.where(in_real, bottom, begin),
            np.where(in_real, np.maximum(top - 1, bottom), end - 1),
            lambda trial: crossed(np.where(in_real, trial + 1, top), np.where(in_real, begin, trial + 1)),
        )
        real_0 = np.take_along_axis(real.sums, np.where(in_real, place, top), 1) - real_base
        fake_0 = np.take_along_axis(fake.sums, np.where(in_real, begin, place), 1) - fake_base
        return _nearest_to_equality(real_0, fake_0, reals, fakes, in_real)

    def _find_cheapest(self) -> IntArray:
        """Run behind which each cell of both classes costs least ``(C',)``; -1 for before everything."""
        once = np.ones((1, 1 + max(int(ranked.group.max(initial=0)) for ranked in (self._real, self._fake))), np.int64)
        start, cost = self._costs(*(_Weighed.of(ranked, once) for ranked in (self._real, self._fake)))
        edges = itertools.pairwise(self._runs.first)
        runs = np.array([first + cost[0, first:last].argmin() for first, last in edges], np.int64)
        return np.where(start[0] + cost[0, runs] < 1, runs, -1)

    def _min_dcf(self, real: _Weighed, fake: _Weighed) -> tuple[FloatArray, FloatArray]:
        """Least normalised costs ``(R, C')``, and sober ones.

        Those are the costs at the threshold that is best for the trials as they are, plus how much less the threshold
        costs that is best for the trials as they are weighed: what choosing it on them flatters.
        """
        start, cost = self._costs(real, fake)
        least = np.minimum(start + _by_cell(np.minimum, cost, self._runs.first), 1.0) + 0 * start  # NaN stays
        here = np.where(self._cheapest < 0, 1.0 + 0 * start, start + np.take(cost, self._cheapest, axis=1))
        return least, 2 * here - least

    def _costs(self, real: _Weighed, fake: _Weighed) -> tuple[FloatArray, FloatArray]:
        """Normalised costs behind each run ``(R, K)``, but for what to add in each cell ``(R, C')``, which goes first.

        Before everything the cost is 1.
        """
        parts, lengths = self.part_of[self._both], np.diff(self._runs.first)
        slope = share(np.float64(MISS_WEIGHT), real.total[:, parts].astype(float))
        gain = share(np.float64(1), fake.total[:, self._both].astype(float))
        start = 1 - slope * real.base[:, parts] + gain * fake.base[:, self._both]
        cost = np.take(real.sums, self._runs.not_above, axis=1) * np.repeat(slope, lengths, axis=1)
        cost -= np.take(fake.sums, self._runs.end, axis=1) * np.repeat(gain, lengths, axis=1)
        return np.asarray(start, dtype=np.float64), np.asarray(cost, dtype=np.float64)

    def _roc_auc(self, real: _Weighed, fake: _Weighed) -> FloatArray:
        """Probabilities ``(R, C')`` that a spoof scores below a bona fide trial, ties counting half."""
        parts = self.part_of[self._both]
        weight = np.take(fake.sums, self._runs.end, axis=1) - np.take(fake.sums, self._runs.begin, axis=1)
        lower = np.take(real.sums, self._runs.below, axis=1) + np.take(real.sums, self._runs.not_above, axis=1)
        losses = _by_cell(np.add, weight * lower, self._runs.first) / 2
        reals, fakes = real.total[:, parts].astype(float), fake.total[:, self._both].astype(float)
        return share((reals + real.base[:, parts]) * fakes - losses, reals * fakes)


class _Weighed(NamedTuple):
    """A class under weights.

    Attributes:
        sums: weight of the first 0, 1, ..., N trials ``(R, N + 1)``.
        base: weight before each cell ``(R, C)``.
        total: weight of each cell ``(R, C)``.
        rejected: weight of what each cell rejects at either threshold ``(2, R, C)``.
        nats: what each cell adds to Cllr ``(R, C)``.
    """

    sums: IntArray
    base: IntArray
    total: IntArray
    rejected: IntArray
    nats: FloatArray

    @classmethod
    def of(cls, ranked: _Ranked, weights: IntArray) -> _Weighed:
        each = np.take(weights, ranked.group, axis=1)
        sums = np.zeros((len(weights), len(ranked.group) + 1), np.int64)
        np.cumsum(each, axis=1, out=sums[:, 1:])
        at_edges = sums[:, ranked.first]
        base = at_edges[:, :-1]
        rejected = np.stack([sums[:, places] - base for places in ranked.rejected])
        nats = np.zeros((len(weights), len(ranked.first) - 1))
        filled = np.flatnonzero(np.diff(ranked.first))
        nats[:, filled] = _by_cell(np.add, each * ranked.nats, ranked.first[[*filled, -1]])
        return cls(sums, base, np.diff(at_edges, axis=1), rejected, nats)


def _ranked(
    scores: FloatArray, groups: IntArray, cells: IntArray, count: int, limits: Sequence[float], sign: float
) -> tuple[_Ranked, FloatArray]:
    """A class sorted by cell and score, and its sorted scores."""
    order = np.lexsort((scores, cells))
    score, cell = scores[order], cells[order]
    first = np.searchsorted(cell, np.arange(count + 1))
    rejected = np.stack([first[:-1] + np.bincount(cells[scores < limit], minlength=count) for limit in limits])
    return _Ranked(groups[order], first, rejected, cost_in_nats(sign * score)), score


def _groups(ranked: _Ranked) -> IntArray:
    """Number of groups in each cell ``(C,)``."""
    cells = len(ranked.first) - 1
    cell = np.repeat(np.arange(cells), np.diff(ranked.first))
    names = int(ranked.group.max(initial=0)) + 1
    return np.bincount(np.unique(cell * names + ranked.group) // names, minlength=cells)


def _by_cell(reduce: np.ufunc, values: NDArray[np.generic], first: IntArray) -> FloatArray:
    """Reduces values ``(R, N)`` over each of the stretches, none of them empty, that begin at ``first[:-1]``."""
    if len(first) == 1:
        return np.empty((len(values), 0))
    return np.asarray(reduce.reduceat(values, first[:-1], axis=1), dtype=np.float64)


def _bisect(low: IntArray, high: IntArray, holds: Callable[[IntArray], NDArray[np.bool_]]) -> IntArray:
    """First places in [low, high] from which on something holds; high if it holds nowhere before."""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = (low + high) // 2
        true = holds(middle)
        high = np.where(true, middle, high)
        low = np.where(true, low, np.minimum(middle + 1, high))
    return low


def _nearest_to_equality(
    real_0: IntArray, fake_0: IntArray, reals: IntArray, fakes: IntArray, in_real: NDArray[np.bool_]
) -> FloatArray:
    """Mean of the rates at the point nearest to equality within the step of one trial, which may count several times.

    Args:
        real_0: bona fide trials rejected before that trial.
        fake_0: spoofs rejected before it.
        reals: number of all bona fide trials.
        fakes: number of all spoofs.
        in_real: whether the trial is bona fide.
    """
    lacking = reals * fakes - real_0 * fakes - fake_0 * reals
    steps = np.ceil(lacking / np.maximum(np.where(in_real, fakes, reals), 1))
    points = []
    for taken in (steps - 1, steps):  # the last point with miss rate < false alarm rate, and the first without
        miss = share(real_0 + taken * in_real, reals)
        alarm = share(fakes - (fake_0 + taken * ~in_real), fakes)
        points.append((np.abs(miss - alarm), (miss + alarm) / 2))
    (gap_0, eer_0), (gap_1, eer_1) = points
    return np.where(gap_0 <= gap_1, eer_0, eer_1)


def _decisions(tp: FloatArray, fp: FloatArray, tn: FloatArray, fn: FloatArray) -> FloatArray:
    """Accuracy, balanced accuracy, precision, recall and F1 ``(..., 5)`` of counts; positive = spoof."""
    recall, specificity = share(tp, tp + fn), share(tn, tn + fp)
    columns = (
        share(tp + tn, tp + fp + tn + fn),
        (recall + specificity) / 2,
        share(tp, tp + fp, 0.0),
        np.nan_to_num(recall),
        share(2 * tp, 2 * tp + fp + fn, 0.0),
    )
    return np.stack(columns, axis=-1)
