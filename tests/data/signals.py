"""Signals and files for the tiny corpora of the tests."""

from pathlib import Path

import numpy as np
import soundfile


def noise(seed: int, samples: int = 4000, peak: float = 0.3) -> np.ndarray:
    """Noise ``(T,)`` that no other seed makes."""
    return np.random.default_rng(seed).uniform(-peak, peak, samples).astype(np.float32)


def write(path: Path, seed: int, rate: int = 16_000, samples: int = 4000) -> None:
    """Writes noise in the format that belongs to the file's ending, 16 bit, and makes the folders for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (noise(seed, samples) * 32768).astype(np.int16), rate)
