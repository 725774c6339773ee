"""Compares `UtteranceDataset`, batches and all, with a bare `soundfile` loop that reads the same samples."""

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
from bench import Measurement, medians, report
from scipy.signal import lfilter
from torch.utils.data import DataLoader

from deepfake_lab import audio
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import EpochSampler
from deepfake_lab.types import SAMPLE_RATE

BOUND = 0.85
"""Smallest throughput allowed, in units of the bare loop's."""
FILES, WINDOW_S, BATCH, REPEATS = 256, 4.0, 32, 15


def write_corpus(root):
    """FLAC files of 2 to 10 s: noise with the spectral slope, the syllables and the level of speech. Their manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(FILES):
        frames = int(rng.integers(2 * SAMPLE_RATE, 10 * SAMPLE_RATE))
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


def measure():
    """Throughputs of both over one pass; what the data set asks for is noted first, and is what the bare loop reads."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = UtteranceDataset(write_corpus(Path(folder)), WINDOW_S, random_crop=True, seed=0)
        sampler = EpochSampler(len(dataset), seed=0, shuffle=True)
        loader = DataLoader(dataset, BATCH, sampler=sampler, num_workers=0, collate_fn=lambda batch: batch)
        with mock.patch.object(audio, "load", wraps=audio.load) as load:
            visit(loader)
        parts = [call.args for call in load.call_args_list]
        assert len(parts) == FILES, f"{len(parts)} reads of {FILES} files: audio.load is not what reads any more"
        seconds = medians({"lab": lambda: visit(loader), "bare": lambda: read_all(parts)}, REPEATS)
    rates = {name: FILES / value for name, value in seconds.items()}
    figures = f"{rates['lab']:.0f} utterances/s, soundfile {rates['bare']:.0f} utterances/s"
    return [Measurement("data set, in batches", rates["lab"] / rates["bare"], "x", BOUND, True, figures)]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
