"""Utterances of one split as equally long waveforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from deepfake_lab import audio
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.types import SAMPLE_RATE, Batch, LabError

_AGAIN = "Replace the file, or prepare the corpus again with force=true."


class Trial(NamedTuple):
    """One utterance, cut to the window: `wave` is ``(T,)`` float32 at 16 kHz."""

    wave: audio.Wave
    label: int
    row: int
    key: str


class UtteranceDataset(Dataset[Trial]):
    """Reads a window of each utterance from disk, and no more than the window.

    Args:
        manifest: the utterances; its Arrow columns are shared by worker processes, a row costs no Python object.
        window_s: length of the window in seconds; shorter utterances are repeated.
        random_crop: take the window anywhere inside the utterance (training) instead of at its start (evaluation).
        seed: of the crops, which depend on seed, epoch and row alone.
    """

    def __init__(self, manifest: Manifest, window_s: float, *, random_crop: bool, seed: int) -> None:
        self.manifest = manifest
        self.window_s = window_s
        self.samples = round(window_s * SAMPLE_RATE)
        self.random_crop = random_crop
        self.seed = seed
        table = manifest.table.combine_chunks()
        self._path, self._key = table["path"].chunk(0), table["key"].chunk(0)
        self._start, self._frames, self._rate, self._label = (
            table[name].to_numpy() for name in ("start", "frames", "sample_rate", "label")
        )

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, draw: Draw) -> Trial:
        row = draw.row
        return Trial(self._read(draw), int(self._label[row]), row, self._key[row].as_py())

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """The batch that a data loader asks for; each utterance goes into its row while the cache still holds it."""
        wave = np.empty((len(draws), self.samples), np.float32)
        for target, draw in zip(wave, draws, strict=True):
            target[:] = self._read(draw)
        rows = np.array([draw.row for draw in draws])
        labels, keys = self._label[rows].astype(np.int64), self._key.take(pa.array(rows)).to_pylist()
        return Batch(torch.from_numpy(wave), torch.from_numpy(labels), torch.from_numpy(rows), tuple(keys))

    def _read(self, draw: Draw) -> audio.Wave:
        """The window of one utterance ``(T,)``."""
        row, epoch = draw
        start, frames, rate = int(self._start[row]), int(self._frames[row]), int(self._rate[row])
        window = math.ceil(self.window_s * rate)
        if self.random_crop and frames > window:
            start += int(np.random.default_rng([self.seed, epoch, row]).integers(frames - window + 1))
        path, frames = f"{self.manifest.root}/{self._path[row].as_py()}", min(frames, window)
        wave = audio.load(path, start, frames)
        if len(wave) < frames * SAMPLE_RATE // rate:
            raise LabError(
                f"{path}: ends before sample {start + frames}, unlike when the corpus was prepared. {_AGAIN}"
            )
        return audio.fit_length(wave, self.samples)
