"""Scores on disk as they are given, so that an evaluation that is interrupted goes on where it stopped.

Each process writes parts of its own, whole files of some thousand trials, and never changes one. Any number of
processes can go on from them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfake_lab.data.files import whole
from deepfake_lab.data.sampling import rows_of
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.models.detector import FROM_DEV
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    from deepfake_lab.data.manifest import Manifest
    from deepfake_lab.models.detector import Detector

_MOST_S: Final = 60.0
"""How much time's scores a kill may cost, in s."""


_NOTHING: Final = pa.table({"row": pa.array([], pa.int64()), "raw_score": pa.array([], pa.float32())})


class KeptScores:
    """What has been said of the trials of a split, by whatever process, and what this one is to add.

    Args:
        folder: of the parts; its name should tell `digest`.
        count: number of trials of the split.
        every: trials a part.
        rank: number of this process, from 0.
        world: number of processes.

    Attributes:
        known: what was kept before, with columns `row`, `raw_score` and one for each number that `add` was told.
        rows: what is left for this process to score ``(N,)``; one, of which nothing is kept, where nothing is left.
        names: of the numbers that `add` was told.

    Raises:
        LabError: a part cannot be read, or the parts tell of a trial twice.
    """

    def __init__(self, folder: Path, count: int, every: int = 4096, *, rank: int = 0, world: int = 1) -> None:
        self._folder = folder
        self._every = every
        self._fresh: list[tuple[Tensor, Tensor, Mapping[str, Tensor]]] = []
        self._waiting = 0
        self._written = time.monotonic()
        self.names: list[str] = []
        self.known = _read(folder, count)
        missing = np.setdiff1d(np.arange(count), self.known["row"].to_numpy())
        self._mine = missing[rank::world]
        self.rows = rows_of(rank, world, missing if len(missing) else np.arange(min(count, 1)), evenly=False)
        self._parts: list[pa.Table] = []

    def add(self, row: Tensor, raw_score: Tensor, means: Mapping[str, Tensor]) -> None:
        """Keeps the scores ``(B,)`` of a batch of rows ``(B,)``, and means over the batch of other numbers."""
        self.names = sorted(means)
        self._fresh.append((row, raw_score.detach(), {name: mean.detach() for name, mean in means.items()}))
        self._waiting += len(row)
        if self._waiting >= self._every or time.monotonic() - self._written > _MOST_S:
            self.flush()

    def flush(self) -> None:
        """Writes what has not been written yet.

        Raises:
            LabError: the disk is full or does not let itself be written.
        """
        part = pa.concat_tables([self._columns(*batch) for batch in self._fresh] or [_NOTHING])
        self._fresh, self._waiting, self._written = [], 0, time.monotonic()
        if not len(part):
            return
        self._parts.append(part)
        path = self._folder / f"part-{time.time_ns()}-{os.uname().nodename}-{os.getpid()}.parquet"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole(path) as partial:
                pq.write_table(part, partial, write_page_checksum=True)
        except OSError as error:
            raise LabError(f"{path}: cannot be written ({error}). Make room; resume=RUN_DIR then goes on.") from error

    def sums(self, names: Sequence[str], *, known: bool) -> list[float]:
        """Number of trials, and sums over them of numbers, of those known before or of those of this process."""
        table = self.known if known else pa.concat_tables(self._parts or [_NOTHING])
        return [len(table), *(pc.sum(table[name]).as_py() if len(table) else 0.0 for name in names)]

    def _columns(self, row: Tensor, raw_score: Tensor, means: Mapping[str, Tensor]) -> pa.Table:
        """A batch as a table, without the row that is there for want of another."""
        rows = row.cpu().numpy()
        new = np.isin(rows, self._mine)
        columns = {"row": rows[new], "raw_score": raw_score.float().cpu().numpy()[new]}
        return pa.table(columns | {name: np.full(int(new.sum()), float(mean)) for name, mean in means.items()})


def digest(detector: Detector, manifest: Manifest, settings: Mapping[str, Any]) -> str:
    """What raw scores depend on, in hexadecimal: the detector, the rows, and how they are heard."""
    told = hashlib.sha256(json.dumps([detector.config, manifest.digest, dict(settings)], sort_keys=True).encode())
    for name, tensor in sorted(detector.state_dict().items()):
        if name not in FROM_DEV:
            told.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            told.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return told.hexdigest()


def _read(folder: Path, count: int) -> pa.Table:
    """All parts as one table, checked."""
    parts = [_NOTHING]
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            parts.append(read_parquet(path))
        except (OSError, pa.ArrowException, ValueError) as error:
            raise LabError(f"{path}: not readable scores ({error}). Delete it: its trials are scored again.") from error
    table = pa.concat_tables(parts, promote_options="default")
    times = np.bincount(table["row"].to_numpy(), minlength=count)
    if len(times) > count or times.max(initial=0) > 1:
        raise LabError(
            f"{folder}: holds scores of {len(times)} rows of {count}, {int((times > 1).sum())} of them twice. Did two "
            "runs write there at once? Delete the folder: all is scored again."
        )
    return table
