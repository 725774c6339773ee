"""A corpus of generated signals for tests and first steps: learnable in seconds, and no speech at all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from deepfake_lab.audio import Wave
from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.files import write_whole
from deepfake_lab.data.inspection import inspect
from deepfake_lab.data.manifest import NO_ATTACK, Manifest
from deepfake_lab.types import BONAFIDE, SAMPLE_RATE, SPLITS, SPOOF

ATTACKS = {"train": ("buzz",), "dev": ("buzz",), "test": ("buzz", "hum")}
"""Synthesis systems of each split; `hum` is never trained on."""
VOICES = {"train": (110.0, 147.0, 196.0), "dev": (123.0, 220.0), "test": (131.0, 175.0)}
"""Fundamental frequencies, in Hz, of the "speakers" of each split."""


class Toy(Corpus):
    """Harmonic tones: bona fide ones tremble and breathe, spoofed ones are perfectly periodic.

    Args:
        root: folder for the generated files, about half a megabyte.
        utterances: number of utterances of each class in each split.
        seconds: length of an utterance.
        seed: of the signals.
        shuffle_labels: see `Corpus`.
    """

    name = "toy"
    sources = ("toy",)

    def __init__(
        self,
        root: str | Path,
        *,
        utterances: int = 12,
        seconds: float = 0.4,
        seed: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, shuffle_labels=shuffle_labels)
        self.utterances = utterances
        self.samples = round(seconds * SAMPLE_RATE)
        self.seed = seed

    @property
    def manifest_path(self) -> Path:
        """Beside the signals."""
        return self.root / "manifest.parquet"

    def build(self, *, force: bool) -> Manifest:
        """Generates the signals, which takes less than a second; there is nothing to resume."""
        self.root.mkdir(parents=True, exist_ok=True)
        return Manifest.from_rows(self._rows(), self.root, str(self.root))

    def _rows(self) -> Iterator[dict[str, object]]:
        rng = np.random.default_rng(self.seed)
        for split in SPLITS:
            for number in range(self.utterances):
                voice = VOICES[split][number % len(VOICES[split])]
                attack = ATTACKS[split][number % len(ATTACKS[split])]
                for label, system in ((BONAFIDE, NO_ATTACK), (SPOOF, attack)):
                    key = f"{split}-{number:03d}-{system}"
                    self._write(f"{key}.flac", self._signal(rng, voice, system))
                    yield {
                        "key": key,
                        "path": f"{key}.flac",
                        **inspect(self.root, f"{key}.flac").columns(),
                        "label": label,
                        "attack": system if label == BONAFIDE else f"{self.name}/{system}",
                        "speaker": f"{self.name}/{voice:.0f}Hz",
                        "group": f"{self.name}/{split}-{number:03d}",
                        "split": split,
                        "corpus": self.name,
                    }

    def _write(self, name: str, wave: Wave) -> None:
        """Writes a file atomically: another process that makes the same corpus may be reading it already."""
        encoded = io.BytesIO()  # on a full disk libsndfile leaves part of a file, and says nothing
        soundfile.write(encoded, wave, SAMPLE_RATE, format="FLAC")
        write_whole(self.root / name, encoded.getvalue())

    def _signal(self, rng: np.random.Generator, voice: float, system: str) -> Wave:
        """One utterance ``(T,)``, with a peak between 0.2 and 0.6."""
        trembling = 0.02 * np.cumsum(rng.standard_normal(self.samples)) if system == NO_ATTACK else 0.0
        phase = 2 * np.pi * voice * np.arange(self.samples) / SAMPLE_RATE + rng.uniform(0, 2 * np.pi) + trembling
        tilt = {NO_ATTACK: 1.0, "buzz": 0.8, "hum": 1.2}[system]
        wave = sum(np.sin(k * phase) / k**tilt for k in range(1, 25)) + 0.02 * rng.standard_normal(self.samples)
        return np.asarray(rng.uniform(0.2, 0.6) * wave / np.abs(wave).max(), dtype=np.float32)
