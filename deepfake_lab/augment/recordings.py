"""Recordings to disturb speech with, as they lie on disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab import audio
from deepfake_lab.types import SAMPLE_RATE, LabError, Split


class Listing(Protocol):
    """Recordings as `deepfake_lab.data.noise.NoiseManifest` lists them: `table`, with paths relative to `root`."""

    root: Path
    table: pa.Table

    def split(self, name: Split) -> Self:
        """Those of one split."""


@runtime_checkable
class Collection(Protocol):
    """A noise collection, such as those of `deepfake_lab.data.corpora`."""

    def prepare(self) -> Listing:
        """Lists its recordings, after having looked at them where that has not been done."""


class _Place(NamedTuple):
    path: str
    start: int
    frames: int
    sample_rate: int


class Recordings:
    """The train split of a noise collection, or every audio file of a folder of one's own.

    Args:
        source: the collection, which is prepared where that has not been done; or the folder, searched recursively.
        kinds: which of a collection's recordings to take, see `deepfake_lab.data.noise.Kind`; a folder has no kinds.

    Raises:
        LabError: there is no such recording, or the collection cannot be prepared.
    """

    def __init__(self, source: Collection | str | Path, kinds: Sequence[str]) -> None:
        if isinstance(source, str | Path):
            self._places = list(_in_folder(Path(source)))
            where = f"{source}: holds no audio file"
        else:
            self._places = list(_in_collection(source, kinds))
            where = f"{source}: its train split holds no recording of the kinds {', '.join(kinds)}"
        if not self._places:
            raise LabError(f"augment: {where}. Name another source or other kinds.")

    def __len__(self) -> int:
        return len(self._places)

    def window(self, draw: np.random.Generator, samples: int) -> audio.Wave:
        """Any part of any recording ``(samples,)`` at 16 kHz, repeated where it is shorter."""
        place = self._any(draw)
        frames = min(place.frames, math.ceil(samples * place.sample_rate / SAMPLE_RATE))
        start = place.start + int(draw.integers(place.frames - frames + 1))
        return audio.fit_length(_read(place._replace(start=start, frames=frames), draw), samples)

    def whole(self, draw: np.random.Generator) -> audio.Wave:
        """Any recording ``(T,)`` at 16 kHz."""
        return _read(self._any(draw), draw)

    def _any(self, draw: np.random.Generator) -> _Place:
        return self._places[int(draw.integers(len(self)))]


def _read(place: _Place, draw: np.random.Generator) -> audio.Wave:
    """One channel, drawn: the mean of several microphones is what none of them heard."""
    samples, sample_rate = audio.read(place.path, place.start, place.frames)
    if not samples.size or not np.isfinite(samples).all():
        raise LabError(f"augment: {place.path}: has no samples from {place.start} on, or NaN. Remove or replace it.")
    channel = int(draw.integers(samples.shape[1]))
    return audio.resample(np.ascontiguousarray(samples[:, channel]), sample_rate)


def _in_collection(collection: Collection, kinds: Sequence[str]) -> Iterator[_Place]:
    listing = collection.prepare().split("train")
    table = listing.table.filter(pc.is_in(listing.table["kind"], pa.array(list(kinds), pa.string())))
    for row in table.select(["path", "start", "frames", "sample_rate"]).to_pylist():
        yield _Place(f"{listing.root}/{row['path']}", row["start"], row["frames"], row["sample_rate"])


def _in_folder(folder: Path) -> Iterator[_Place]:
    if not folder.is_dir():
        raise LabError(f"augment: source={folder}: no such folder. Name one that holds audio files.")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in audio.AUDIO_SUFFIXES:
            found = audio.info(path)
            yield _Place(str(path), 0, found.frames, found.sample_rate)
