"""Features of training windows, computed once and kept in memory maps, for machines whose processor does everything."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from deepfake_lab.data.files import whole
from deepfake_lab.data.sampling import Draw
from deepfake_lab.data.turns import alone
from deepfake_lab.data.workers import progress, results
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    from deepfake_lab.data.dataset import UtteranceDataset

_A_SHARD = 2048  # windows: few enough files that a process can keep every map open, which takes a descriptor each
_A_BATCH = 32
_TOLERANCE = 0.02  # beyond the rounding: another processor or library may differ in what is nearly silent
_LAYOUT = 1  # of the files; to be raised when what they hold changes

Extract = Callable[["Tensor"], "Tensor"]
"""Waveforms ``(B, T)`` to features ``(B, C, F, L)``; can be pickled."""


class Recipe(NamedTuple):
    """How features come about.

    Attributes:
        extract: what makes them; the same configuration makes the same.
        config: what it is built from, as plain containers.
    """

    extract: Extract
    config: Mapping[str, Any]


class FeatureCache:
    """Reads features of windows; see `build`.

    An utterance that is longer than the window has several windows: those that training draws in its first epochs.
    Later epochs have the same again, in turn. Values are rounded to 16-bit floats.

    Args:
        shards: files of features, float16 ``(N, C, F, L)``.
        firsts: number of each utterance's first window ``(U,)``.
        windows: how many windows each utterance has ``(U,)``.
    """

    def __init__(self, shards: list[Path], firsts: npt.NDArray[np.int64], windows: npt.NDArray[np.int64]) -> None:
        self._shards, self._firsts, self._windows = shards, firsts, windows
        self._maps: dict[int, npt.NDArray[np.float16]] = {}

    @classmethod
    def build(
        cls, dataset: UtteranceDataset, recipe: Recipe, folder: Path, *, crops: int, workers: int = 0
    ) -> FeatureCache:
        """Computes what is not there yet, in parallel; goes on after a kill, and two processes may build at once.

        Args:
            dataset: the utterances and how windows are cut out of them.
            recipe: what makes features of windows.
            folder: for the features; a window of 4 s takes 51 kB with `frontend=mel`.
            crops: most windows an utterance.
            workers: processes; 0 takes one a core, eight at most.

        Raises:
            LabError: there are no windows to be kept, features are beyond the range of 16-bit floats, or those that
                are there are no longer what `recipe` makes.
        """
        if crops < 1:
            raise LabError(f"loader.crops={crops}: at least one window of each utterance is kept.")
        windows = np.where(dataset.longer_than_window() & (dataset.crop == "random"), crops, 1)
        ends = np.cumsum(windows)
        draws = [Draw(row, epoch) for row, number in enumerate(windows.tolist()) for epoch in range(number)]
        home = folder / _digest(dataset, recipe, crops)
        shards = [home / f"shard-{number:05d}.npy" for number in range(-(-len(draws) // _A_SHARD))]
        with alone(home, "computes these features"):  # the second of two then finds everything done
            for left in home.glob(".*-shard-*.npy"):
                left.unlink()  # of a builder that was killed
            _compute_missing(dataset, recipe.extract, shards, draws, workers)
        cache = cls(shards, ends - windows, windows)
        cache._compare(dataset, recipe.extract)
        return cache

    def _compare(self, dataset: UtteranceDataset, extract: Extract) -> None:
        """Makes the features of one window anew: the code that made them may have changed since, not only its settings.

        Raises:
            LabError: they are others.
        """
        if not self._shards:
            return
        first = [Draw(0, 0)]
        known, made = self.read(first).float(), _features(dataset, extract, first).float()
        if known.shape != made.shape or not torch.allclose(known, made, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise LabError(
                f"loader.feature_cache: {self._shards[0].parent} holds other features than the front-end makes by now. "
                "Delete this folder."
            )

    def read(self, draws: Sequence[Draw]) -> Tensor:
        """Features ``(B, C, F, L)``, float16, of the windows that these draws have."""
        rows = np.array([draw.row for draw in draws])
        turns = np.array([draw.epoch + draw.visit for draw in draws])
        numbers = self._firsts[rows] + turns % self._windows[rows]
        parts = [self._map(number // _A_SHARD)[number % _A_SHARD] for number in numbers.tolist()]
        return torch.from_numpy(np.stack(parts))

    def _map(self, shard: int) -> npt.NDArray[np.float16]:
        if shard not in self._maps:
            self._maps[shard] = np.load(self._shards[shard], mmap_mode="r")
        return self._maps[shard]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_maps": {}}  # a worker process opens the maps that it needs


def _digest(dataset: UtteranceDataset, recipe: Recipe, crops: int) -> str:
    """Names a folder after what the features depend on."""
    content = hashlib.sha256(dataset.fingerprint())
    content.update(json.dumps([_LAYOUT, crops, recipe.config], sort_keys=True).encode())
    return content.hexdigest()[:16]


def _compute_missing(
    dataset: UtteranceDataset, extract: Extract, shards: list[Path], draws: list[Draw], workers: int
) -> None:
    parts = [(shard, draws[number * _A_SHARD : (number + 1) * _A_SHARD]) for number, shard in enumerate(shards)]
    missing = [(shard, part) for shard, part in parts if not shard.is_file()]
    left = sum(len(part) for _, part in missing)
    with progress("features into the cache", len(draws) - left, len(draws)) as advance:
        for computed in results(functools.partial(_compute, dataset, extract), missing, workers):
            advance(computed)


def _compute(dataset: UtteranceDataset, extract: Extract, missing: tuple[Path, list[Draw]]) -> int:
    """Writes one shard, whole."""
    shard, draws = missing
    parts = []
    for first in range(0, len(draws), _A_BATCH):
        parts.append(_features(dataset, extract, draws[first : first + _A_BATCH]).numpy())
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        raise LabError("loader.feature_cache: features are beyond the range of 16-bit floats. Set it to null.")
    with whole(shard) as partial:
        np.save(partial, features)
    return len(draws)


def _features(dataset: UtteranceDataset, extract: Extract, draws: list[Draw]) -> Tensor:
    """Features ``(B, C, F, L)``, float16, of the windows that these draws have."""
    with torch.inference_mode():
        return extract(dataset.waves(draws)).to(torch.float16)
