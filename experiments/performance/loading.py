"""Compares `UtteranceDataset` with a bare `soundfile` loop, its decoded cache with FLAC, crops with whole files."""

import functools
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
from bench import Measurement, medians, report
from scipy.signal import lfilter
from torch.utils.data import DataLoader

from deepfake_lab import audio
from deepfake_lab.data.cache import DecodedCache
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import EpochSampler
from deepfake_lab.tasks.memory import keep_freed_memory
from deepfake_lab.types import SAMPLE_RATE

BOUND = 0.85
"""Smallest throughput allowed, in units of the bare loop's."""
CACHE_BOUND = 5.0
"""Smallest throughput allowed of the decoded cache, in units of FLAC's."""
CROP_BOUND = 3.0
"""Smallest throughput allowed of 4 s crops, in units of decoding their files of 30 s whole."""
FILES, WINDOW_S, BATCH, REPEATS = 256, 4.0, 32, 9


def write_corpus(root, files=FILES, shortest=2, longest=10):
    """FLAC files of some s: noise with the spectral slope, the syllables and the level of speech. Their manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(files):
        frames = int(rng.integers(shortest * SAMPLE_RATE, longest * SAMPLE_RATE + 1))
        syllables = 0.05 + np.sin(np.pi * 4 * np.arange(frames) / SAMPLE_RATE + rng.uniform(0, np.pi)) ** 2
        noise = lfilter([1.0], [1.0, -1.4, 0.6], rng.standard_normal(frames)) * syllables
        path = f"{number}.flac"
        soundfile.write(root / path, 0.02 * noise, SAMPLE_RATE, subtype="PCM_16")
        spoof = number % 2
        rows.append(
            {
                **{"key": str(number), "path": path, "frames": frames, "sample_rate": SAMPLE_RATE, "channels": 1},
                **{"label": spoof, "attack": "bench/noise" if spoof else "bonafide", "speaker": path, "group": path},
                **{"split": "train", "corpus": "bench"},
            }
        )
    return Manifest.from_rows(rows, root, "bench")


def visit(loader):
    """The lab's loop: takes each batch and drops it."""
    for _ in loader:
        pass


def read_all(parts):
    """The bare loop: opens each file, seeks, reads."""
    for path, start, frames in parts:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            file.read(frames, dtype="float32")


def loader_of(manifest, **settings):
    """Random crops of a manifest in batches, in one process."""
    dataset = UtteranceDataset(manifest, WINDOW_S, crop="random", **settings)
    sampler = EpochSampler(len(dataset), seed=0, shuffle=True)
    return DataLoader(dataset, BATCH, sampler=sampler, num_workers=0, collate_fn=lambda batch: batch)


def measure():
    """All three comparisons, in the memory of a run and the processes that it starts."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_corpus(Path(folder))
        return [against_bare(manifest), cache_against_flac(manifest, Path(folder, "cache")), crops_against_files()]


def against_bare(manifest):
    """Throughputs of both over one pass; what the data set asks for is noted first, and is what the bare loop reads."""
    loader = loader_of(manifest)
    with mock.patch.object(audio, "load", wraps=audio.load) as load:
        visit(loader)
    parts = [call.args for call in load.call_args_list]
    assert len(parts) == FILES, f"{len(parts)} reads of {FILES} files: audio.load is not what reads any more"
    seconds = medians({"lab": lambda: visit(loader), "bare": lambda: read_all(parts)}, REPEATS)
    rates = {name: FILES / value for name, value in seconds.items()}
    figures = f"{rates['lab']:.0f} utterances/s, soundfile {rates['bare']:.0f} utterances/s"
    return Measurement("data set, in batches", rates["lab"] / rates["bare"], "x", BOUND, True, figures)


def cache_against_flac(manifest, folder):
    """The same crops out of the decoded cache and out of the FLAC files, both in the page cache."""
    loaders = {"cache": loader_of(manifest, cache=DecodedCache.build(manifest, folder)), "flac": loader_of(manifest)}
    for cached, decoded in zip(*loaders.values(), strict=True):
        assert cached.wave.equal(decoded.wave), "the cache gives other samples than the files"
    seconds = medians({name: functools.partial(visit, loader) for name, loader in loaders.items()}, REPEATS)
    figures = f"{FILES / seconds['cache']:.0f} utterances/s, FLAC {FILES / seconds['flac']:.0f} utterances/s"
    return Measurement("decoded cache", seconds["flac"] / seconds["cache"], "x", CACHE_BOUND, True, figures)


def crops_against_files():
    """Random crops of long files beside reading these files whole."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_corpus(Path(folder), files=64, shortest=30, longest=30)
        paths = [f"{folder}/{path}" for path in manifest.table["path"].to_pylist()]
        loader = loader_of(manifest)
        candidates = {"crops": lambda: visit(loader), "files": lambda: [audio.load(path) for path in paths]}
        seconds = medians(candidates, REPEATS)
    figures = f"{64 / seconds['crops']:.0f} crops/s, {64 / seconds['files']:.0f} files/s"
    return Measurement("4 s crops of 30 s FLAC", seconds["files"] / seconds["crops"], "x", CROP_BOUND, True, figures)


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
