"""The score table: one row a trial, the one source of every number that is reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from deepfake_lab.data.files import whole
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

COLUMNS = (
    "key",  # unique name of the trial in its corpus
    "score",  # higher = more bona fide; calibrated where the detector is
    "raw_score",  # before calibration
    "label",  # 0 = bona fide, 1 = spoof
    "attack",
    "codec",
    "speaker",
    "group",
    "gender",
    "language",
    "corpus",
    "duration_s",
    "split",
)
_NUMBERS = ("score", "raw_score", "duration_s")
_SCHEMA = pa.schema(
    [(name, pa.float64() if name in _NUMBERS else pa.int8() if name == "label" else pa.string()) for name in COLUMNS]
)
TRIAL = ["corpus", "split", "key"]
"""Columns that name a trial of pooled tables."""
FROM_MANIFEST = ("key", "label", "attack", "codec", "speaker", "group", "gender", "language", "corpus", "split")


def score_table(
    manifest: Manifest,
    index: Tensor | NDArray[np.integer],
    score: Tensor | NDArray[np.floating],
    raw_score: Tensor | NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """Joins the rows of a split with their scores.

    Args:
        manifest: the split, with one row a trial.
        index: row of each scored trial in the manifest ``(N,)``, in any order.
        score: scores ``(N,)``, higher = more bona fide.
        raw_score: scores before calibration ``(N,)``; by default the same.

    Returns:
        A table in the columns of `COLUMNS`, in the order of the manifest.

    Raises:
        LabError: a trial is missing, scored twice or has a score that is not finite; the message names such trials.
    """
    rows = _host(index).astype(np.int64)
    values = {"score": _host(score), "raw_score": _host(score if raw_score is None else raw_score)}
    for name, column in values.items():
        if column.shape != rows.shape:
            raise LabError(f"{manifest.source}: {rows.size} trials but {column.size} values of {name}: give one each.")
    strange = rows[(rows < 0) | (rows >= len(manifest))]
    if strange.size:
        raise LabError(f"{manifest.source}: scores for row {strange[0]}, but the split has {len(manifest)} rows.")
    times = np.bincount(rows, minlength=len(manifest))
    _refuse(manifest, times == 0, "have no score")
    _refuse(manifest, times > 1, "have more than one score")
    table: pd.DataFrame = manifest.table.select(FROM_MANIFEST).to_pandas()
    for name, column in values.items():
        ordered = np.empty(len(manifest))
        ordered[rows] = column
        _refuse(manifest, ~np.isfinite(ordered), f"have a {name} that is NaN or infinite")
        table[name] = ordered
    table["duration_s"] = manifest.table["frames"].to_numpy() / manifest.table["sample_rate"].to_numpy()
    return table[list(COLUMNS)]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a score table as parquet, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), partial)


def read_table(path: Path) -> pd.DataFrame:
    """Reads a score table written by `write_table`.

    Raises:
        LabError: the file cannot be read or is not a score table.
    """
    try:
        found = read_parquet(path)
        if tuple(found.column_names) != COLUMNS:
            raise LabError(f"{path}: columns {', '.join(found.column_names)}; a score table has {', '.join(COLUMNS)}.")
        table: pd.DataFrame = found.cast(_SCHEMA).to_pandas()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise LabError(
            f"{path}: not a readable score table ({error}). Run the detector on the corpus again."
        ) from error
    if table.isna().any(axis=None) or not np.isfinite(table[list(_NUMBERS)]).all(axis=None):
        raise LabError(f"{path}: values are missing, NaN or infinite. Run the detector on the corpus again.")
    if not table["label"].isin([BONAFIDE, SPOOF]).all():
        raise LabError(f"{path}: a label is neither {BONAFIDE} nor {SPOOF}. Run the detector on the corpus again.")
    return table


def attack_names(table: pd.DataFrame) -> pd.Series[str]:
    """Attack of each trial as it is called in metric names: without its corpus where the table has a single one."""
    corpora = table["corpus"].unique()
    return table["attack"].str.removeprefix(f"{corpora[0]}/") if len(corpora) == 1 else table["attack"]


def of_attacks(table: pd.DataFrame, attacks: Collection[str]) -> pd.DataFrame:
    """Trials of some synthesis systems, by their full names, and all bona fide ones."""
    return table[(table["label"] == BONAFIDE) | table["attack"].isin(attacks)]


def by_class(table: pd.DataFrame, column: str = "score") -> tuple[FloatArray, FloatArray]:
    """Scores of the bona fide trials ``(N,)`` and of the spoofs ``(M,)`` of a table."""
    scores, labels = table[column].to_numpy(dtype=float), table["label"].to_numpy()
    return scores[labels == BONAFIDE], scores[labels == SPOOF]


def same_trials(tables: Mapping[str, pd.DataFrame]) -> list[pd.DataFrame]:
    """Score tables of several detectors with their rows in the order of the first.

    Args:
        tables: score tables by name, for messages.

    Raises:
        LabError: trials are missing, extra or there twice, have no finite score, or do not have one label; the message
            names such trials.
    """
    aligned: list[pd.DataFrame] = []
    for name, table in tables.items():
        trials = pd.MultiIndex.from_frame(table[TRIAL])
        _refuse_trials(name, trials[trials.duplicated()], "are there more than once")
        _refuse_trials(name, trials[~np.isfinite(table["score"].to_numpy(dtype=float))], "have no finite score")
        if aligned:
            wanted = pd.MultiIndex.from_frame(aligned[0][TRIAL])
            against = next(iter(tables))
            _refuse_trials(name, wanted[~wanted.isin(trials)], f"of {against} are missing")
            _refuse_trials(name, trials[~trials.isin(wanted)], f"are not in {against}")
            table = table.iloc[trials.get_indexer(wanted)]
            odd = table["label"].to_numpy() != aligned[0]["label"].to_numpy()
            _refuse_trials(name, wanted[odd], f"have another label than in {against}")
        aligned.append(table.reset_index(drop=True))
    return aligned


def _refuse_trials(name: str, trials: pd.MultiIndex, why: str) -> None:
    if len(trials):
        told = ", ".join(str(trial[-1]) for trial in trials[:3])
        raise LabError(
            f"{name}: {len(trials)} trials {why}, such as {told}. "
            "Take runs over the same data, split and settings of the corpus."
        )


def _host(values: Tensor | NDArray[np.generic]) -> FloatArray:
    array = values if isinstance(values, np.ndarray) else values.detach().cpu().double().numpy()
    return array.reshape(-1).astype(np.float64)


def _refuse(manifest: Manifest, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        keys = manifest.table.filter(pa.array(bad))["key"].to_pylist()
        raise LabError(
            f"{manifest.source}: {len(keys)} of {len(manifest)} trials {why}, such as {', '.join(keys[:3])}. "
            "Every trial must be scored exactly once: look at their audio and at the detector."
        )
