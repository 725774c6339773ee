"""Bands around DET curves, by the bootstrap over groups that gives the EER its interval."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import ndtri

from deepfake_lab.evaluation.bootstrap import draw_groups, intervals_of, strata_of
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.metrics.ranking import FloatArray, IntArray, RankedTrials
from deepfake_lab.types import BONAFIDE, SPOOF

POINTS: Final = 200
"""Thresholds at which replicates are counted."""
FEWEST_ERRORS: Final = 3
"""Where either class has fewer errors, resampling finds nothing to vary, and the band would promise too much."""
BLOCK: Final = 4_000_000
"""Weights of groups held at once."""


class DetBand(NamedTuple):
    """Where a DET curve lies, in probits: pairs of false alarm rate and miss rate ``(2, K)``."""

    low: FloatArray
    high: FloatArray

    @property
    def outline(self) -> FloatArray:
        """The band as a polygon ``(2, 2 K)``."""
        return np.concatenate([self.low, self.high[:, ::-1]], axis=1)


def det_band(trials: pd.DataFrame, *, replicates: int = 200, seed: int = 0) -> DetBand:
    """95 % band of a DET curve: pointwise intervals across it.

    They lie along the lines on which the probits of both errors differ by a constant: a DET curve crosses each of them
    once, and where both errors are equal the interval is that of the EER, but for the correction of its bias. The band
    ends where errors are too few.

    Args:
        trials: rows of a score table of one split with both classes.
        replicates: number of resamplings of the groups.
        seed: of the resampling.
    """
    label = trials["label"].to_numpy()
    group, names = pd.factorize(trials["group"], sort=True)
    thresholds = _thresholds(RankedTrials.of(*by_class(trials)))
    step = np.searchsorted(thresholds, trials["score"].to_numpy(dtype=float), "right")
    steps = len(thresholds) + 1
    counts = csr_array((np.ones(len(trials)), (step + steps * (label == SPOOF), group)), shape=(2 * steps, len(names)))
    members = group[label == BONAFIDE], group[label == SPOOF]
    strata = strata_of([members], len(names))
    blocks = [counts.sum(axis=1)[:, None]]
    size = max(1, BLOCK // len(names))
    for first in range(0, replicates, size):
        weights = draw_groups(strata, min(size, replicates - first), np.random.default_rng([seed, first]))
        blocks.append(counts @ np.ascontiguousarray(weights.T, dtype=float))
    return _band(np.concatenate(blocks, axis=1).T.reshape(-1, 2, steps), min(len(np.unique(one)) for one in members))


def _thresholds(ranked: RankedTrials) -> FloatArray:
    """Scores about evenly spaced along the DET curve, none rejected at the first."""
    along = _probit(ranked.real, ranked.real[-1]) - _probit(ranked.fake[-1] - ranked.fake, ranked.fake[-1])
    places = np.searchsorted(along, np.linspace(along[0], along[-1], POINTS))
    return np.unique(ranked.score[np.clip(np.append(0, places), 0, len(ranked.score) - 1)])


def _band(counts: FloatArray, groups: int) -> DetBand:
    """The band of counts of either class between thresholds ``(1 + R, 2, K + 1)``, the trials as they are first."""
    below = counts.cumsum(axis=2)
    total = below[..., -1:]
    errors = np.stack([below[:, 0], (total - below)[:, 1]])
    miss, alarm = (_probit(error, total[:, kind]) for kind, error in enumerate(errors))
    enough = (errors[:, 0] >= FEWEST_ERRORS).all(axis=0)
    lines = (miss - alarm)[0, enough]
    sums = np.stack([np.interp(lines, *pair) for pair in zip(miss - alarm, miss + alarm, strict=True)])
    sums[0] = np.median(sums[1:], axis=0)  # the steps of a single curve would tear its band
    low, high = intervals_of(sums, groups)
    return DetBand(*(np.stack([at - lines, at + lines]) / 2 for at in (low, high)))


def _probit(errors: FloatArray | IntArray, trials: FloatArray | int) -> FloatArray:
    """Probits of rates; no error counts as half of one, so that they are finite."""
    return np.asarray(ndtri(np.clip(errors / trials, 0.5 / trials, 1 - 0.5 / trials)))
