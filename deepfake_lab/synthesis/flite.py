"""Flite: diphone and statistical (CLUSTERGEN) voices in a small C program (Black & Lenzo, SSW 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.program import SPEECH, TEXT, check_voices, lacking, run
from deepfake_lab.synthesis.system import TextToSpeech, pace
from deepfake_lab.types import SAMPLE_RATE, LabError

_VOICES = ("kal16", "awb", "rms", "slt")


@dataclass(frozen=True)
class Flite(TextToSpeech):
    """Speaks English with a voice drawn by the seed.

    Args:
        voices: "kal16" (diphones), "awb", "rms", "slt" (statistical), or some of them.

    Raises:
        LabError: an unknown voice.
    """

    voices: Sequence[str] = _VOICES
    languages: ClassVar[tuple[str, ...]] = ("en",)
    families: ClassVar[tuple[str, ...]] = ("tts",)

    def __post_init__(self) -> None:
        """Checks the voices: the program takes its first one for a name that it does not know."""
        check_voices(self.voices, _VOICES, "flite")

    def missing(self) -> str:
        """See `System.missing`."""
        return lacking("flite", ["flite"])

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`.

        Raises:
            LabError: the program is not installed.
            RuntimeError: it failed.
        """
        if missing := self.missing():
            raise LabError(f"flite: {missing}.")
        usual = _speak(text, self._voice(seed), 1.0)
        return _speak(text, self._voice(seed), 1 / pace(len(usual) / SAMPLE_RATE, seconds))

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice drawn by the seed, such as "flite-slt"."""
        return f"flite-{self._voice(seed)}"

    def _voice(self, seed: int) -> str:
        return str(np.random.default_rng(seed).choice(self.voices))


def _speak(text: str, voice: str, stretch: float) -> Wave:
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.4f}", "-f", TEXT, "-o", SPEECH]
    return run(command, text.encode())
