"""How recordings are, counted: those that a detector was trained on, and those that people bring it.

A detector cannot know of recordings unlike those that it has learnt from. So it carries a `Census` of its training
utterances; a recording far from all of them is scored but not judged, and a service sees when its callers drift away.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from deepfake_lab.data.files import write_whole
from deepfake_lab.types import LabError

Numbers = npt.NDArray[np.float64]

_RARE = 0.01  # share of recordings that may be beyond a bound


class Census:
    """How many recordings fell into which bin of each measure.

    Args:
        counts: numbers of recordings by measure, one a bin of `EDGES`; none by default.

    Raises:
        LabError: the counts are not those of `EDGES`.
    """

    EDGES: Final[Mapping[str, Numbers]] = {
        "duration_s": np.array([0.0, 1, 2, 3, 4, 6, 8, 12, 20, 40, 80, math.inf]),
        "level_db": np.r_[-math.inf, np.arange(-70.0, -4.0, 5.0), math.inf],
        "band_hz": np.r_[np.arange(0.0, 8000.0, 500.0), math.inf],
        "clipped": np.array([0.0, 1e-5, 1e-4, 1e-3, 1e-2, math.inf]),
        "speech_share": np.r_[np.arange(0.0, 0.95, 0.1), math.inf],
        "score": np.r_[-math.inf, np.arange(-10.0, 10.5, 1.0), math.inf],
    }
    """Edges of the bins by measure: each holds its lower edge, not its upper one."""

    def __init__(self, counts: Mapping[str, list[int]] | None = None) -> None:
        given = counts or {name: [0] * (len(edges) - 1) for name, edges in self.EDGES.items()}
        fits = isinstance(given, Mapping) and given.keys() == self.EDGES.keys()
        if not fits or not all(_are_counts(given[name], len(edges) - 1) for name, edges in self.EDGES.items()):
            raise LabError("The checkpoint's census of its training data is another version's: train it again.")
        self.counts = {name: np.array(given[name], np.int64) for name in self.EDGES}

    def add(self, measures: Mapping[str, float]) -> None:
        """Counts a recording by some of its measures."""
        for name, value in measures.items():
            self.counts[name][np.searchsorted(self.EDGES[name], value, "right") - 1] += 1

    def bounds(self, name: str) -> tuple[float, float]:
        """Between which edges all but the rarest recordings are, on either side; infinite, if there are none."""
        counts, edges = self.counts[name], self.EDGES[name]
        if not counts.sum():
            return -math.inf, math.inf
        shares = np.cumsum(counts) / counts.sum()
        low, high = np.searchsorted(shares, _RARE, "right"), np.searchsorted(shares, 1 - _RARE, "left")
        return float(edges[low]), float(edges[high + 1])

    def plain(self) -> dict[str, list[int]]:
        """The counts as plain containers."""
        return {name: counts.tolist() for name, counts in self.counts.items()}

    def shift(self, later: Self) -> dict[str, float]:
        """Population stability index of each measure: how far later recordings are from these.

        ``sum (q - p) ln(q / p)`` over bins, with shares p here and q later, half a recording added to each bin. Habit
        in credit scoring, where it is from: below 0.1 nothing happened, above 0.25 much.
        """
        return {name: _stability(self.counts[name], later.counts[name]) for name in self.EDGES}


def _are_counts(given: object, number: int) -> bool:
    """Whether something out of a file is so many counts."""
    return (
        isinstance(given, list)
        and len(given) == number
        and all(type(count) is int and 0 <= count < 1 << 53 for count in given)
    )


class KeptCensus:
    """A census that threads add to; it begins with what a file holds, if one is named, and is written there.

    Args:
        file: where it is kept; None keeps it nowhere.

    Raises:
        LabError: the file holds something else, or its folder does not exist.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._census = Census()
        if file is None:
            return
        if not file.parent.is_dir():
            raise LabError(f"census={file}: its folder does not exist. Make it, or name another file.")
        if file.exists():
            try:
                self._census = Census(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError, AttributeError, LabError) as error:
                raise LabError(
                    f"census={file}: holds no census of this version. Move it away, or name another."
                ) from error

    def add(self, measures: Mapping[str, float]) -> None:
        """Counts a recording by some of its measures."""
        with self._lock:
            self._census.add(measures)

    def now(self) -> Census:
        """The counts so far."""
        with self._lock:
            return Census(self._census.plain())

    def write(self) -> None:
        """Writes the counts, whole or not at all, to the file if one is named.

        Raises:
            OSError, LabError: it cannot be written.
        """
        if self._file is not None:
            write_whole(self._file, json.dumps(self.now().plain()))


def _stability(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> float:
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())
