"""eSpeak NG: rule-based formant synthesis, by the library that the `espeakng-loader` package ships."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from deepfake_lab.audio import Wave, resample
from deepfake_lab.synthesis import espeak_child
from deepfake_lab.synthesis.system import TextToSpeech, pace
from deepfake_lab.types import SAMPLE_RATE

_VOICES = {"en": ("en-us", "en"), "es": ("es", "es-419"), "fr": ("fr",), "it": ("it",), "ru": ("ru",)}
_MALE = (*(f"m{n}" for n in range(1, 9)), "Denis", "Gene", "Lee", "Marco", "Michael")
_FEMALE = ("f1", "f4", "Andrea", "Annie", "anika", "belinda", "linda", "steph")
_VARIANTS = _MALE + _FEMALE  # none with "breath" (f2, f3, ...), whose noise differs from one process to the next


class _Style(NamedTuple):
    """How one utterance is spoken: voice, and pitch and its range from 0 to 100."""

    voice: str
    pitch: int
    pitch_range: int


@dataclass(frozen=True)
class Espeak(TextToSpeech):
    """Speaks with a voice and pitch drawn by the seed.

    Args:
        rate: usual rate in words a minute.
    """

    rate: int = 160
    languages: ClassVar[tuple[str, ...]] = tuple(_VOICES)
    families: ClassVar[tuple[str, ...]] = ("tts",)

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`.

        Raises:
            RuntimeError: the library failed, with what it said.
        """
        style = _style(language, seed)
        usual = _speak(text, self.rate, style)
        return _speak(text, round(self.rate * pace(len(usual) / SAMPLE_RATE, seconds)), style)

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice drawn by the seed, such as "espeak-it+f2"."""
        return f"espeak-{_style(language, seed).voice}"


def _style(language: str, seed: int) -> _Style:
    draw = np.random.default_rng(seed)
    voice = f"{draw.choice(_VOICES[language])}+{draw.choice(_VARIANTS)}"
    pitch, pitch_range = draw.integers((30, 35), (70, 80), endpoint=True)
    return _Style(voice, int(pitch), int(pitch_range))


def _speak(text: str, rate: int, style: _Style) -> Wave:
    """Speaks in a process of its own: the library carries state from one utterance into the next."""
    import espeakng_loader

    library, data = espeakng_loader.get_library_path(), str(Path(espeakng_loader.get_data_path()).resolve())
    command = [sys.executable, "-I", "-S", espeak_child.__file__, library, data, str(rate), *map(str, style)]
    spoken = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    samples = np.frombuffer(spoken.stdout[4:], dtype=np.int16)
    if spoken.returncode or not samples.any():
        said = spoken.stderr.decode(errors="replace").strip() or "no sound"
        raise RuntimeError(f"espeak-ng failed on '{text}': {said}")
    return resample(samples.astype(np.float32) / np.float32(32768), int.from_bytes(spoken.stdout[:4], "little"))
