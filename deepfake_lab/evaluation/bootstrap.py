"""Confidence intervals by a bootstrap that draws whole groups, since copies of one sentence are not independent trials.

A replicate draws as many groups as there are, with replacement and jointly over both classes: a bona fide recording
and the spoofs made from it come and go together (Field & Welsh, "Bootstrapping clustered data", 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepfake_lab.metrics.ranking import FloatArray, RankedTrials, eer_from_counts
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

if TYPE_CHECKING:
    from deepfake_lab.metrics.ranking import Scores

Statistic: TypeAlias = Callable[[RankedTrials], FloatArray]
"""One value ``(R,)`` for each row of weights, such as `RankedTrials.eer`."""

BLOCK = 200_000
"""Weights held at once (1.6 MB an array, so that a block stays in the cache): replicates are made in blocks."""


class Interval(NamedTuple):
    """Bounds of an interval; NaN where there is nothing to bound."""

    low: float
    high: float


def clustered_interval(
    scores: Scores,
    labels: ArrayLike,
    groups: ArrayLike,
    statistic: Statistic = RankedTrials.eer,
    *,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic under resampling of groups.

    It speaks of new groups from the same source, not of new attacks, speakers or training runs. Where the classes are
    parted perfectly every replicate agrees, and the interval is a point: few trials then say less than it seems.

    Args:
        scores: scores ``(N,)``, higher = more bona fide.
        labels: labels ``(N,)``, 0 = bona fide, 1 = spoof.
        groups: name of the group of each trial ``(N,)``.
        statistic: what to bound.
        replicates: number of resamplings; those that draw no trial of a class are left out.
        level: probability that the interval is to cover.
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        LabError: the three do not have the same length, or a score is NaN.
    """
    label, group = np.asarray(labels), np.asarray(groups)
    if not len(scores) == len(label) == len(group):
        raise LabError(f"{len(scores)} scores, {len(label)} labels and {len(group)} groups: give one of each a trial.")
    real, fake = np.flatnonzero(label == BONAFIDE), np.flatnonzero(label == SPOOF)
    trials = RankedTrials.of(scores[real], scores[fake])
    names, number = np.unique(group, return_inverse=True)
    group_of = number[np.concatenate([real, fake])[trials.order]]
    blocks = _group_weights(len(names), len(group_of), replicates, seed)
    return _central(np.concatenate([statistic(trials.weighted(block[:, group_of])) for block in blocks]), level)


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
    rates = []
    for rows in _block_sizes(bonafide + spoof, replicates):
        real = rng.permuted(np.tile(np.arange(bonafide + spoof) < bonafide, (rows, 1)), axis=1)
        counts = np.zeros((2, rows, bonafide + spoof + 1))
        np.cumsum(real, axis=1, out=counts[0, :, 1:])
        np.cumsum(~real, axis=1, out=counts[1, :, 1:])
        rates.append(eer_from_counts(counts[0], counts[1]))
    return _central(np.concatenate(rates), level)


def _group_weights(groups: int, trials: int, replicates: int, seed: int) -> Iterator[FloatArray]:
    """Blocks ``(rows, groups)`` of how often each group is drawn: multinomial, as counts of uniform draws."""
    rng = np.random.default_rng(seed)
    for rows in _block_sizes(trials, replicates):
        draws = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        yield np.bincount(draws.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float64)


def _block_sizes(trials: int, replicates: int) -> Iterator[int]:
    size = max(1, BLOCK // max(trials, 1))
    for start in range(0, replicates, size):
        yield min(size, replicates - start)


def _central(values: NDArray[np.float64], level: float) -> Interval:
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
