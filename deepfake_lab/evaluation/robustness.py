"""How far detectors hold under conditions that harm recordings: errors by level, at no threshold and at their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from deepfake_lab.data.files import whole
from deepfake_lab.evaluation.bootstrap import Interval, intervals_of, resample
from deepfake_lab.evaluation.breakdown import FEW_GROUPS, Cluster, cells_of
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.trials import CLEAN
from deepfake_lab.metrics.ranking import FloatArray

MEAN: Final = "mean"
"""Condition that stands for the mean over all others, each of which is the mean over its levels."""
RATES: Final = ("eer", "hter", "miss", "false_alarm")
"""Error rates: equal, then half total, of bona fide trials and of spoofs at the detector's own threshold."""


class Place(NamedTuple):
    """Which detector is measured, and after what."""

    detector: str
    condition: str
    level: str = ""

    @property
    def title(self) -> str:
        """What was done, for people."""
        return f"{self.condition} {self.level}".rstrip()


class Rates(NamedTuple):
    """Error rates, as shares.

    Attributes:
        eer: equal error rate, whatever the threshold.
        hter: half total error rate at the detector's threshold, the mean of the two that follow. What it lies above
            the EER is what a threshold from clean recordings costs.
        miss: share of bona fide trials that are rejected there.
        false_alarm: share of spoofs that are accepted there.
        gain: by how much the EER lies below that of the first detector.
    """

    eer: Estimate
    hter: Estimate
    miss: Estimate
    false_alarm: Estimate
    gain: Estimate


@dataclass(frozen=True)
class Robustness:
    """What is left of some detectors.

    Attributes:
        title: on what they were measured.
        thresholds: score from which each accepts a trial as bona fide.
        rates: by place, each detector's clean ones first and its mean last.
        groups: number of groups of trials of the rarer class.
        notes: what a reader must know before using any number.
    """

    title: str
    thresholds: Mapping[str, float]
    rates: Mapping[Place, Rates]
    groups: int
    notes: Sequence[str] = ()

    @property
    def detectors(self) -> list[str]:
        """Their names."""
        return list(self.thresholds)

    @property
    def harms(self) -> list[tuple[str, str]]:
        """Conditions and levels, but for the clean one and the mean."""
        first = self.detectors[0]
        return [place[1:] for place in self.rates if place.detector == first and place.condition not in (CLEAN, MEAN)]

    @property
    def warnings(self) -> list[str]:
        """Notes, and a word on small samples."""
        few = f"fewer than {FEW_GROUPS} groups of a class ({self.groups}): intervals are too narrow"
        return [*self.notes, *([few] if self.groups < FEW_GROUPS else [])]

    def metrics(self) -> dict[str, float]:
        """Figures by name, such as `robustness/before/white/10/eer`."""
        return {
            "/".join(["robustness", *filter(None, place)]).replace(" ", "_") + f"/{name}": getattr(rates, name).value
            for place, rates in self.rates.items()
            for name in RATES
        }


def measure(
    tables: Mapping[Place, pd.DataFrame],
    thresholds: Mapping[str, float],
    *,
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> dict[Place, Rates]:
    """Measures score tables of the same trials, in the same order; each replicate draws the same groups for all.

    Args:
        tables: by place; a detector's clean one and the same others for each.
        thresholds: score from which each detector accepts a trial as bona fide.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        Rates of each place, and of each detector's mean over conditions.
    """
    group, names = pd.factorize(next(iter(tables.values()))[cluster], sort=True)
    cells = [cells_of(table, (), group, thresholds[place.detector])[0] for place, table in tables.items()]
    drawn = resample(cells, len(names), replicates=replicates, seed=seed)
    values = {place: _errors(one[:, 0]) for place, one in zip(tables, drawn, strict=True)}
    found, few, first = {}, groups_of(next(iter(tables.values())), cluster), next(iter(thresholds))
    for detector in thresholds:
        own = {place: rates for place, rates in values.items() if place.detector == detector}
        own |= {Place(detector, MEAN): _mean(own)}
        values |= own
        for place, rates in own.items():
            eer, hter, miss, false_alarm = (rate_of(column, few) for column in rates.T)
            gain = estimate_of(values[place._replace(detector=first)][:, 0] - rates[:, 0], few)
            found[place] = Rates(eer, hter, miss, false_alarm, gain)
    return found


def groups_of(table: pd.DataFrame, cluster: Cluster = "group") -> int:
    """Number of groups of the class that has fewer."""
    return int(table.groupby("label")[cluster].nunique().min())


def rate_of(values: FloatArray, groups: int) -> Estimate:
    """A rate and its interval, of its replicates ``(1 + R,)``; rounding must not take it out of [0, 1]."""
    return estimate_of(np.clip(values, 0.0, 1.0), groups)


def estimate_of(values: FloatArray, groups: int) -> Estimate:
    """A value and its interval, of its replicates ``(1 + R,)``."""
    values = values.round(12)
    low, high = intervals_of(values, groups)
    return Estimate(float(values[0]), Interval(float(low), float(high)))


def to_frame(names: Mapping[str, Sequence[str]], estimates: Mapping[str, Sequence[Estimate]]) -> pd.DataFrame:
    """Columns of names, then each column of estimates with its bounds in two that end in `_low` and `_high`."""
    columns: dict[str, Sequence[str] | list[float]] = dict(names)
    for name, column in estimates.items():
        columns[name] = [one.value for one in column]
        columns[f"{name}_low"] = [one.interval.low for one in column]
        columns[f"{name}_high"] = [one.interval.high for one in column]
    return pd.DataFrame(columns)


def write_rates(rates: Mapping[Place, Rates], path: Path) -> None:
    """Leaves all rates as CSV, a row a place."""
    names = {name: [getattr(place, name) for place in rates] for name in Place._fields}
    estimates = {name: [getattr(one, name) for one in rates.values()] for name in Rates._fields}
    with whole(path) as partial:
        to_frame(names, estimates).to_csv(partial, index=False)


def _errors(values: FloatArray) -> FloatArray:
    """`RATES` ``(1 + R, 4)`` of what `Cells.measures` gives of one cell."""
    eer, balanced, recall = (values[:, MEASURES.index(name)] for name in ("eer", "balanced_accuracy", "recall"))
    false_alarm = np.where(np.isnan(balanced), np.nan, 1 - recall)  # recall of no spoofs is 0
    return np.stack([eer, 1 - balanced, 2 * (1 - balanced) - false_alarm, false_alarm], axis=1)


def _mean(values: Mapping[Place, FloatArray]) -> FloatArray:
    """Mean over the conditions of their means over levels."""
    conditions = dict.fromkeys(place.condition for place in values if place.condition != CLEAN)
    each = [np.mean([one for place, one in values.items() if place.condition == name], axis=0) for name in conditions]
    return np.asarray(np.mean(each, axis=0))
