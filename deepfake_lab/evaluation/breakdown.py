"""Metrics of a score table by condition: attack, codec, speaker and so on, each with its interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from deepfake_lab.evaluation.bootstrap import Interval, bounds_of, resample
from deepfake_lab.evaluation.cells import MEASURES, Cells
from deepfake_lab.evaluation.scores import attack_names
from deepfake_lab.metrics.ranking import IntArray, score_array
from deepfake_lab.types import BONAFIDE, SPOOF

Cluster = Literal["group", "speaker"]
"""Column whose values are drawn whole by the bootstrap."""

ALL = "all"
CONDITIONS: dict[str, tuple[str, ...]] = {
    "attack": ("attack",),
    "codec": ("codec",),
    "attack x codec": ("attack", "codec"),
    "speaker": ("speaker",),
    "gender": ("gender",),
    "language": ("language",),
    "duration": ("duration",),
    "corpus": ("corpus",),
}
"""Columns that part the trials, by the name of the condition."""
DURATIONS_S = (0.0, 2.0, 4.0, 8.0, 16.0, math.inf)
"""Edges of the cells of `duration`."""
FEW_GROUPS = 50
"""Below so many groups of either class intervals are too narrow: see `experiments/intervals`."""


def breakdown(
    table: pd.DataFrame,
    threshold: float,
    *,
    conditions: Sequence[str] = tuple(CONDITIONS),
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of every cell of every condition, for each split of a score table.

    Spoofs of a cell are measured against the bona fide trials that share its codec, speaker and so on; all systems of a
    cell `attack` against the same ones, as bona fide speech has no attack. A condition with one value says no more than
    the whole, and is left out.

    Args:
        table: score table: see `deepfake_lab.evaluation.scores`.
        threshold: score from which a trial is accepted as bona fide; NaN if none is known.
        conditions: names of `CONDITIONS`.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        A row a cell: `split`, `condition`, `cell`, the numbers `bonafide` and `spoof` of its trials, `groups` (the
        fewer of the groups of either class), and of each name of `MEASURES` its value, and its 95 % interval in columns
        that end in `_low` and `_high`. The first row of a split, condition and cell `all`, is that of all its trials.

    Raises:
        LabError: a score is NaN.
    """
    table = table.assign(attack=attack_names(table), duration=_duration_names(table["duration_s"]))
    parts = []
    for split, trials in table.groupby("split", sort=False):
        chosen = [name for name in conditions if _parts(trials, CONDITIONS[name])]
        parts.append(_split_rows(trials, threshold, chosen, cluster, replicates, seed).assign(split=str(split)))
    rows = pd.concat(parts, ignore_index=True)
    return rows[["split", *(name for name in rows.columns if name != "split")]]


def cells_of(
    trials: pd.DataFrame, columns: Sequence[str], group: IntArray, threshold: float
) -> tuple[Cells, list[str]]:
    """Parts trials by some columns.

    Args:
        trials: rows of a score table.
        columns: what parts them; `attack` parts the spoofs alone.
        group: number of each trial's group ``(N,)``.
        threshold: score from which a trial is accepted as bona fide; NaN if none is known.

    Returns:
        The cells, and their names.

    Raises:
        LabError: a score is NaN.
    """
    score, label = score_array(trials["score"].to_numpy()), trials["label"].to_numpy()
    real, fake = label == BONAFIDE, label == SPOOF
    names, codes = _combine(trials, columns)
    _, shared = _combine(trials, [column for column in columns if column != "attack"])
    wanted = fake if "attack" in columns else real | fake
    cells, first = np.unique(codes[wanted], return_index=True)
    parts, part_of = np.unique(shared[wanted][first], return_inverse=True)
    compared = real & np.isin(shared, parts)
    return Cells(
        score[compared],
        score[fake],
        groups=(group[compared], group[fake]),
        parts=np.searchsorted(parts, shared[compared]),
        cells=np.searchsorted(cells, codes[fake]),
        part_of=part_of,
        threshold=threshold,
    ), [names[code] for code in cells]


def _split_rows(
    trials: pd.DataFrame, threshold: float, conditions: Sequence[str], cluster: Cluster, replicates: int, seed: int
) -> pd.DataFrame:
    """Rows of one split."""
    group, names = pd.factorize(trials[cluster], sort=True)
    parted = {
        condition: cells_of(trials, columns, group, threshold)
        for condition, columns in {ALL: (), **{name: CONDITIONS[name] for name in conditions}}.items()
    }
    values = resample([cells for cells, _ in parted.values()], len(names), replicates=replicates, seed=seed)
    rows = []
    for (condition, (cells, cell_names)), measured in zip(parted.items(), values, strict=True):
        low, high = bounds_of(measured, cells.groups.min(axis=1))
        columns = {"condition": condition, "cell": cell_names, "bonafide": cells.counts[:, 0]}
        columns |= {"spoof": cells.counts[:, 1], "groups": cells.groups.min(axis=1)}
        for number, measure in enumerate(MEASURES):
            columns[measure] = measured[0, :, number]
            columns[f"{measure}_low"], columns[f"{measure}_high"] = low[:, number], high[:, number]
        rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True)


def _parts(trials: pd.DataFrame, columns: Sequence[str]) -> bool:
    """Whether columns tell trials apart; the names of the systems are worth knowing even where there is one."""
    if columns == ("attack",):
        return bool((trials["label"] == SPOOF).any())
    return all(trials[name].nunique() > 1 for name in columns)


def _combine(trials: pd.DataFrame, columns: Sequence[str]) -> tuple[dict[int, str], IntArray]:
    """Names of the combinations of values by their code, and the code of each trial ``(N,)``."""
    names, codes = {0: ALL}, np.zeros(len(trials), np.int64)
    for number, column in enumerate(columns):
        values = trials[column].astype("category")
        categories = [str(value) for value in values.cat.categories]
        codes = codes * len(categories) + values.cat.codes.to_numpy().astype(np.int64)
        names = {
            before * len(categories) + place: f"{name} x {value}" if number else value
            for before, name in names.items()
            for place, value in enumerate(categories)
        }
    return names, codes


def _duration_names(seconds: pd.Series[float]) -> pd.Series[str]:
    """Which of `DURATIONS_S` each duration lies in, as ordered categories."""
    pairs = itertools.pairwise(DURATIONS_S)
    names = [f"{low:g} to {high:g} s" if math.isfinite(high) else f"from {low:g} s" for low, high in pairs]
    return pd.cut(seconds, DURATIONS_S, right=False, labels=names)


def interval_in(row: pd.Series[float], measure: str) -> Interval:
    """Interval of a measure in a row of a breakdown."""
    return Interval(float(row[f"{measure}_low"]), float(row[f"{measure}_high"]))
