"""Utterances of one split as equally long waveforms."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from deepfake_lab import audio
from deepfake_lab.data.cache import DecodedCache
from deepfake_lab.data.features import FeatureCache
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.types import SAMPLE_RATE, Batch, LabError

Crop = Literal["random", "first", "center"]
"""Which part of a long utterance becomes the window: anywhere within, its beginning, or its middle."""

Augment = Callable[[audio.Wave, np.random.Generator], audio.Wave]
"""Disturbs a window ``(T,)``, which it must not write into, by what it draws."""

_CROP, _AUGMENT = 0, 1  # what draws are for: crops are the same with and without augmentations
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
        window_s: length of the window in seconds.
        crop: which part of a longer utterance to take.
        padding: how a shorter one fills the window; see `deepfake_lab.audio.fit_length`.
        trim: leave out the quiet edges first.
        seed: of random crops, which depend on seed and `Draw` alone.
        cache: decoded copies of the manifest's utterances, read in place of the files.
        augment: what is done to each window, one after another; it too depends on seed and `Draw` alone.

    Attributes:
        features: of the windows, read in place of audio; None reads audio.
    """

    def __init__(
        self,
        manifest: Manifest,
        window_s: float,
        *,
        crop: Crop = "first",
        padding: audio.Padding = "repeat",
        trim: bool = False,
        seed: int = 0,
        cache: DecodedCache | None = None,
        augment: Sequence[Augment] = (),
    ) -> None:
        self.root = manifest.root
        self.window_s = window_s
        self.samples = round(window_s * SAMPLE_RATE)
        self.crop = crop
        self.padding = padding
        self.seed = seed
        self.cache = cache
        self.augment = tuple(augment)
        self.features: FeatureCache | None = None
        begin, length = ("speech_start", "speech_frames") if trim else ("start", "frames")
        columns = ["path", "key", "audio_hash", begin, length, "sample_rate", "label"]
        table = manifest.table.select(columns).combine_chunks()
        self._path, self._key, self._hash = (_one_chunk(table, name) for name in ("path", "key", "audio_hash"))
        self._begin, self._length, self._rate, self._label = (
            table[name].to_numpy() for name in (begin, length, "sample_rate", "label")
        )

    def __len__(self) -> int:
        return len(self._label)

    def __getitem__(self, draw: Draw) -> Trial:
        row = draw.row
        return Trial(self._read(draw), int(self._label[row]), row, self._key[row].as_py())

    def __getitems__(self, draws: Sequence[Draw]) -> Batch:
        """The batch that a data loader asks for; each utterance goes into its row while the cache still holds it."""
        rows = np.array([draw.row for draw in draws])
        labels, keys = self._label[rows].astype(np.int64), self._key.take(pa.array(rows)).to_pylist()
        features = None if self.features is None else self.features.read(draws)
        wave = self.waves(draws) if features is None else torch.empty(len(draws), 0)
        return Batch(wave, torch.from_numpy(labels), torch.from_numpy(rows), tuple(keys), features)

    def waves(self, draws: Sequence[Draw]) -> torch.Tensor:
        """The windows ``(B, T)`` that these draws have."""
        wave = np.empty((len(draws), self.samples), np.float32)
        for target, draw in zip(wave, draws, strict=True):
            target[:] = self._read(draw)
        return torch.from_numpy(wave)

    def longer_than_window(self) -> npt.NDArray[np.bool_]:
        """Which utterances have more than one window ``(N,)``."""
        longer: npt.NDArray[np.bool_] = self._length > np.ceil(self.window_s * self._rate)
        return longer

    def fingerprint(self) -> bytes:
        """A digest of all that decides the windows but augmentation: utterances, their files, and how they are cut."""
        content = hashlib.sha256()
        content.update(repr((self.root.resolve(), self.window_s, self.crop, self.padding, self.seed)).encode())
        for column in (self._begin, self._length, self._rate):
            content.update(np.ascontiguousarray(column).tobytes())
        for names in (self._path, self._hash):
            content.update("\0".join(map(str, names.to_pylist())).encode())
        return content.digest()

    def _read(self, draw: Draw) -> audio.Wave:
        """The window of one utterance ``(T,)``."""
        row = draw.row
        begin, frames, rate = int(self._begin[row]), int(self._length[row]), int(self._rate[row])
        window = math.ceil(self.window_s * rate)
        if frames > window:
            begin += self._offset(draw, frames - window)
            frames = window
        if self.cache is not None:
            wave = self.cache.read(row, begin, frames)
        else:
            path = f"{self.root}/{self._path[row].as_py()}"
            wave = audio.load(path, begin, frames)
            if len(wave) < frames * SAMPLE_RATE // rate:
                raise LabError(
                    f"{path}: ends before sample {begin + frames}, unlike when the corpus was prepared. {_AGAIN}"
                )
        return self._augmented(audio.fit_length(wave, self.samples, self.padding), draw)

    def _augmented(self, wave: audio.Wave, draw: Draw) -> audio.Wave:
        if self.augment:
            random = self._random(draw, _AUGMENT)
            for augment in self.augment:
                wave = augment(wave, random)
        return wave

    def _offset(self, draw: Draw, most: int) -> int:
        """How far into a longer utterance the window begins: at most `most` samples."""
        if self.crop == "random":
            leader = draw if draw.beside is None else draw._replace(row=draw.beside)
            return int(self._random(leader, _CROP).integers(most + 1))
        return most // 2 if self.crop == "center" else 0

    def _random(self, draw: Draw, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, draw.epoch, draw.row, 2 * draw.visit + purpose])


def _one_chunk(table: pa.Table, name: str) -> pa.Array:
    return table[name].chunk(0) if len(table) else pa.array([], pa.string())
