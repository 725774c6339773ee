"""Looks into every audio file of a corpus: is it there, does it decode, how long is it, where does sound begin.

It runs in several processes and writes down what it has seen as it goes, so that a killed call goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfake_lab import audio
from deepfake_lab.data.files import whole
from deepfake_lab.data.manifest import UNKNOWN
from deepfake_lab.data.workers import progress, results

Depth = Literal["full", "header"]
"""How far to look: decode everything, or read what the header says."""

EDGE_DB = -40.0
"""At the edges, 10 ms quieter than the loudest 10 ms by this much are no speech yet."""

INSPECTED = pa.schema(
    [
        ("path", pa.string()),
        ("problem", pa.string()),  # why the file cannot be used; empty if it can
        ("frames", pa.int64()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int16()),
        ("speech_start", pa.int64()),
        ("speech_frames", pa.int64()),
        ("audio_hash", pa.string()),
        ("silent", pa.bool_()),  # no sample reaches one step of 16 bits
    ]
)
_A_TASK = 64  # files; a worker is asked for so many at once
_A_PART = 2048  # files; so many are written down at once, and lost at most by a kill


class Inspection(NamedTuple):
    """What there is to know of one file, in the columns of `INSPECTED`."""

    path: str
    problem: str = ""
    frames: int = 0
    sample_rate: int = 0
    channels: int = 0
    speech_start: int = 0
    speech_frames: int = 0
    audio_hash: str = UNKNOWN
    silent: bool = False

    def columns(self) -> dict[str, object]:
        """What a manifest row takes over."""
        return {name: value for name, value in self._asdict().items() if name not in ("path", "problem", "silent")}


def inspect(root: Path, path: str, depth: Depth = "full") -> Inspection:
    """Looks into one file; what is wrong with it becomes its `problem`."""
    try:
        if depth == "header":
            found = audio.info(root / path)
            return Inspection(path, "", *found, 0, found.frames)
        samples, rate = audio.read(root / path)
    except audio.AudioError as error:
        return Inspection(path, str(error).removeprefix(f"{root / path}: "))
    frames = audio.declared_frames(root / path) or len(samples)
    if len(samples) < frames:
        return Inspection(path, f"truncated: {len(samples):,} of {frames:,} samples can be decoded")
    if not len(samples):
        return Inspection(path, "holds no audio (0 samples). Remove it or replace it.")
    if not np.isfinite(samples).all():
        return Inspection(path, "holds NaN or infinite samples")
    steps = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    begin, length = speech(samples.mean(axis=1), rate)
    content = hashlib.blake2b(steps.tobytes(), digest_size=8).hexdigest()
    return Inspection(path, "", len(samples), rate, samples.shape[1], begin, length, content, not steps.any())


def speech(wave: audio.Wave, sample_rate: int) -> tuple[int, int]:
    """Where the sound lies between quiet edges.

    Args:
        wave: samples ``(T,)``.
        sample_rate: in Hz.

    Returns:
        First sample and number of samples, on a grid of 10 ms; everything, if it is silent or shorter than that.
    """
    energy, _ = step_energies(wave, sample_rate)
    return loud_part(energy, len(wave), sample_rate)


def step_energies(wave: audio.Wave, sample_rate: int) -> tuple[npt.NDArray[np.float64], audio.Wave]:
    """Energies of steps of 10 ms ``(S,)`` of a waveform ``(T,)``, and the samples that are left over."""
    hop = sample_rate // 100
    stop = len(wave) // hop * hop
    return np.square(wave[:stop], dtype=np.float64).reshape(-1, hop).sum(axis=1), wave[stop:]


def loud_part(energy: npt.NDArray[np.float64], length: int, sample_rate: int) -> tuple[int, int]:
    """`speech` of what is left of a waveform of so many samples: the energies ``(S,)`` of its steps of 10 ms."""
    hop = sample_rate // 100
    loud = np.flatnonzero(energy > energy.max(initial=0.0) * 10 ** (EDGE_DB / 10))
    if not len(loud):
        return 0, length
    begin, end = int(loud[0]) * hop, (int(loud[-1]) + 1) * hop
    return begin, (length if end + hop > length else end) - begin


def inspect_all(
    root: Path, paths: pa.ChunkedArray, notes: Path, *, depth: Depth = "full", workers: int = 0, title: str
) -> pa.Table:
    """Looks into many files, in parallel, and goes on where an earlier call was stopped.

    Args:
        root: folder that the paths are relative to.
        paths: of the files.
        notes: folder for what has been seen so far. Files with a problem are looked at anew by every call.
        depth: see `Depth`.
        workers: processes; 0 takes one a core, eight at most.
        title: of the progress bar.

    Returns:
        Table in the columns of `INSPECTED`, a row for each of `paths`, in their order.
    """
    notes = notes / depth
    notes.mkdir(parents=True, exist_ok=True)
    wanted = pc.unique(paths)
    absent = missing_files(root, wanted.to_pylist())
    seen = _seen(notes)
    left = wanted.filter(pc.invert(pc.is_in(wanted, seen["path"]))).to_pylist()
    left = [path for path in left if path not in absent]
    new: list[Inspection] = [Inspection(path, "missing") for path in sorted(absent)]
    unwritten: list[Inspection] = []
    with progress(title, len(wanted) - len(left), len(wanted)) as advance:
        for done in _inspected(root, left, depth, workers):
            new += done
            unwritten += [one for one in done if not one.problem]
            advance(len(done))
            if len(unwritten) >= _A_PART:
                _write(unwritten, notes)
                unwritten = []
    if unwritten:
        _write(unwritten, notes)
    gone = pc.is_in(seen["path"], pa.array(sorted(absent), pa.string()))
    known = pa.concat_tables([seen.filter(pc.invert(gone)), _table(new)])
    return known.take(pc.index_in(paths, known["path"]).combine_chunks())


def missing_files(root: Path, paths: Iterable[str]) -> set[str]:
    """Those of the paths below `root` that are not there; each folder is listed once."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        wanted[folder].add(name)
    return {
        str(PurePosixPath(folder, name)) for folder, names in wanted.items() for name in names - _listing(root / folder)
    }


def _listing(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if os.path.isdir(folder) else set()  # also of absurd names


def _inspected(root: Path, paths: Sequence[str], depth: Depth, workers: int) -> Iterator[list[Inspection]]:
    tasks = [paths[first : first + _A_TASK] for first in range(0, len(paths), _A_TASK)]
    return results(functools.partial(_inspect_some, root, depth=depth), tasks, workers)


def _inspect_some(root: Path, paths: Sequence[str], depth: Depth) -> list[Inspection]:
    return [inspect(root, path, depth) for path in paths]


def _table(rows: Sequence[Inspection]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * len(INSPECTED), schema=INSPECTED)


def _seen(notes: Path) -> pa.Table:
    return pa.concat_tables([INSPECTED.empty_table(), *(pq.read_table(part) for part in sorted(notes.glob("part-*")))])


def _write(rows: Sequence[Inspection], notes: Path) -> None:
    with whole(notes / f"part-{uuid.uuid4().hex}.parquet") as partial:
        pq.write_table(_table(rows), partial)
