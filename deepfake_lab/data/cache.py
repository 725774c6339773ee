"""Decoded copies of utterances: 16-bit samples at 16 kHz in memory maps, for disks or formats that read slowly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv

from deepfake_lab import audio
from deepfake_lab.data.files import whole
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.turns import alone
from deepfake_lab.data.workers import progress, results, say
from deepfake_lab.types import SAMPLE_RATE

_A_SHARD = 2048  # utterances: few enough to lose by a kill, many enough that a process can keep every map open
_FULL_SCALE = 32768
_SOURCE = ("path", "start", "frames", "sample_rate", "audio_hash")  # what the samples depend on


class _Shard(NamedTuple):
    """Utterances that are decoded into one file, each named by path, first sample and length."""

    path: Path
    utterances: Sequence[tuple[str, int, int]]


class DecodedCache:
    """Reads windows of decoded utterances; see `build`.

    16-bit audio at 16 kHz comes out as the file itself would give it, to the bit. Other audio is resampled as a whole
    and rounded to 16 bits, so that windows differ from those cut before resampling by what that changes.

    Args:
        shards: files of samples, int16 ``(N,)``.
        ends: for each utterance, the end of its samples within its shard ``(U,)``.
        starts: first sample of each utterance in its own file, at that file's rate ``(U,)``.
        rates: sample rate of each utterance's own file in Hz ``(U,)``.
    """

    def __init__(
        self,
        shards: Sequence[Path],
        ends: Sequence[npt.NDArray[np.int64]],
        starts: npt.NDArray[np.int64],
        rates: npt.NDArray[np.int32],
    ) -> None:
        self._shards = list(shards)
        self._ends = np.concatenate([np.empty(0, np.int64), *ends])
        self._begins = np.concatenate([np.empty(0, np.int64), *(np.r_[0, end[:-1]] for end in ends)])
        self._starts, self._rates = starts, rates
        self._maps: dict[int, npt.NDArray[np.int16]] = {}

    @classmethod
    def build(cls, manifest: Manifest, folder: Path, *, workers: int = 0) -> DecodedCache:
        """Decodes what is not there yet or is damaged, in parallel.

        It goes on after a kill, and two processes may build at once.

        Args:
            manifest: the utterances, of which `read` takes the row.
            folder: for the samples; 115 MB an hour of audio.
            workers: processes; 0 takes one a core, eight at most.

        Raises:
            AudioError: a file cannot be decoded.
            DiskError: the disk is full or does not let itself be written; what was decoded before is kept.
        """
        home = folder / _digest(manifest)
        table = manifest.table.select(["path", "start", "frames", "sample_rate"])
        shards = []
        for first in range(0, len(table), _A_SHARD):
            columns = table.slice(first, _A_SHARD).to_pydict()
            paths = (f"{manifest.root}/{path}" for path in columns["path"])
            utterances = list(zip(paths, columns["start"], columns["frames"], strict=True))
            shards.append(_Shard(home / f"shard-{first // _A_SHARD:05d}.npy", utterances))
        with alone(home, "decodes these recordings"):  # the second of two then finds everything done
            _decode_missing(shards, len(table), workers)
        ends = [np.load(_ends_path(shard.path)) for shard in shards]
        return cls([shard.path for shard in shards], ends, table["start"].to_numpy(), table["sample_rate"].to_numpy())

    def read(self, row: int, start: int, frames: int) -> audio.Wave:
        """A part of an utterance as ``(T,)`` float32 at 16 kHz.

        Args:
            row: of the utterance in the manifest.
            start: first sample in the utterance's own file, at that file's rate.
            frames: length at that rate.
        """
        rate = int(self._rates[row])
        begin = int(self._begins[row]) + round((start - int(self._starts[row])) * SAMPLE_RATE / rate)
        end = min(begin + -(-frames * SAMPLE_RATE // rate), int(self._ends[row]))
        return self._map(row // _A_SHARD)[begin:end].astype(np.float32) / np.float32(_FULL_SCALE)

    def _map(self, shard: int) -> npt.NDArray[np.int16]:
        if shard not in self._maps:
            self._maps[shard] = np.load(self._shards[shard], mmap_mode="r")
        return self._maps[shard]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_maps": {}}  # a worker process opens the maps that it needs


def _digest(manifest: Manifest) -> str:
    """Names a folder after what its samples depend on."""
    rows = pa.BufferOutputStream()
    csv.write_csv(manifest.table.select(_SOURCE), rows)
    return hashlib.sha256(rows.getvalue().to_pybytes() + str(manifest.root.resolve()).encode()).hexdigest()[:16]


def _decode_missing(shards: Sequence[_Shard], total: int, workers: int) -> None:
    missing = [shard for shard in shards if not _is_whole(shard)]
    left = sum(len(shard.utterances) for shard in missing)
    with progress("decoding into the cache", total - left, total) as advance:
        for decoded in results(_decode, missing, workers):
            advance(decoded)


def _is_whole(shard: _Shard) -> bool:
    """Whether a shard is there, and as long as it was made; one that is not is named."""
    if not _ends_path(shard.path).is_file():
        return False
    try:
        ends, samples = np.load(_ends_path(shard.path)), np.load(shard.path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        say(f"{shard.path}: damaged ({str(error).partition(chr(10))[0]}); decoding it anew.")
        return False
    expected = (np.int64, (len(shard.utterances),), np.int16, (ends[-1],) if ends.size else ())
    if (ends.dtype, ends.shape, samples.dtype, samples.shape) == expected:
        return True
    say(f"{shard.path}: damaged (not of the length that it was made); decoding it anew.")
    return False


def _decode(shard: _Shard) -> int:
    """Writes one shard; the list of ends, written last, says that it is whole."""
    parts = []
    for path, start, frames in shard.utterances:
        wave = audio.load(path, start, frames)
        parts.append(np.clip(np.rint(wave * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))
    with whole(shard.path) as partial:
        np.save(partial, np.concatenate(parts))
    with whole(_ends_path(shard.path)) as partial:
        np.save(partial, np.cumsum([len(part) for part in parts], dtype=np.int64))
    return len(shard.utterances)


def _ends_path(shard: Path) -> Path:
    return shard.with_suffix(".ends.npy")
