"""Times a verdict on three hours of audio, and decisions on a stream: memory, share of real time, latency.

An untrained CRNN of the usual size listens to noise shaped like speech: neither learning nor content changes the work.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from bench import Measurement, report, run_config

from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.streaming import StreamingDetector

RATE = 16_000
HOURS = 3
BOUND, MEMORY_GB = 0.05, 1.0
"""Longest time of a verdict, in lengths of the recording; most memory of the process."""
STREAM_S, CHUNK = 60, 320


def talk(seconds, seed=0):
    """Noise in syllables (T,), four a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    loudness = np.sin(np.pi * 4 * t) ** 2 * (np.sin(np.pi * 0.3 * t) ** 2 > 0.1)
    return (0.1 * loudness * np.random.default_rng(seed).standard_normal(len(t))).astype(np.float32)


def measure():
    """A long file through the command, then a minute of stream in chunks of 20 ms."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, recording = Path(folder, "crnn.ckpt"), Path(folder, "long.flac")
        torch.manual_seed(0)
        save_detector(build_detector(run_config(["model=crnn", "run_dir=unused"])["model"]).eval(), checkpoint)
        with soundfile.SoundFile(recording, "w", RATE, 1) as file:
            for minute in range(60 * HOURS):
                file.write(talk(60, minute))
        settings = [f"checkpoint={checkpoint}", f"input={recording}"]
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "deepfake_lab.predict", *settings], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        seconds = time.perf_counter() - begun
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        share = seconds / (3600 * HOURS)
        decided, busy = stream(checkpoint)
    p50, p99 = (1000 * float(np.percentile(decided, q)) for q in (50, 99))
    return [
        Measurement(f"verdict on {HOURS} h", share, "x real time", BOUND, figures=f"{seconds:.0f} s"),
        Measurement("its memory", most, "GB", MEMORY_GB),
        Measurement("stream: chunk with a decision, p50", p50, "ms", figures=f"p99 {p99:.0f} ms"),
        Measurement("stream: all work", busy / STREAM_S, "x real time", figures="a window each 0.5 s, chunks of 20 ms"),
    ]


def stream(checkpoint):
    """Times from the arrival of a chunk to the decision that it completes, and of all work together, in s."""
    streaming = StreamingDetector(Judge(load_detector(checkpoint), hop_s=0.5))
    wave = talk(STREAM_S)
    decided, busy = [], 0.0
    for start in range(0, len(wave), CHUNK):
        begun = time.perf_counter()
        decisions = streaming(wave[start : start + CHUNK])
        seconds = time.perf_counter() - begun
        busy += seconds
        if decisions:
            decided.append(seconds)
    return decided, busy


def main():
    """Entry point."""
    return report(__doc__, measure)


if __name__ == "__main__":
    sys.exit(main())
