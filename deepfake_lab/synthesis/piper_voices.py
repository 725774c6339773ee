"""Piper with voices of one's own: VITS networks (Kim et al., ICML 2021) as files in a folder."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.piper import speak
from deepfake_lab.synthesis.system import TextToSpeech
from deepfake_lab.types import LabError


@dataclass(frozen=True)
class PiperVoices(TextToSpeech):
    """Speaks with a voice drawn by the seed among those of the language; of a voice with many speakers, with any.

    Args:
        voices_dir: folder with `NAME.onnx` and `NAME.onnx.json` of each voice, at any depth.
        noise_scale: variation of the sound.
        noise_w_scale: variation of the rhythm.
    """

    voices_dir: str = "voices/piper"
    noise_scale: float = 0.667
    noise_w_scale: float = 0.8
    families: ClassVar[tuple[str, ...]] = ("tts", "neural")

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the voices that are there."""
        return tuple(dict.fromkeys(language for language, _, _ in _found(self.voices_dir)))

    def missing(self) -> str:
        """See `System.missing`."""
        if _found(self.voices_dir):
            return ""
        return f"no voice (NAME.onnx beside NAME.onnx.json) in {self.voices_dir}; name their folder as its voices_dir"

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`.

        Raises:
            LabError: no voice is there.
        """
        if missing := self.missing():
            raise LabError(f"piper: {missing}.")
        model, speaker = self._voice(language, seed)
        return speak(model, text, seed, seconds, (self.noise_scale, self.noise_w_scale), speaker)

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice drawn by the seed, such as "piper-de_DE-thorsten-low" or "piper-en_GB-vctk-medium-17"."""
        model, speaker = self._voice(language, seed)
        return f"piper-{model.stem}" + ("" if speaker is None else f"-{speaker}")

    def _voice(self, language: str, seed: int) -> tuple[Path, int | None]:
        draw = np.random.default_rng(seed)
        able = [(model, speakers) for spoken, model, speakers in _found(self.voices_dir) if spoken == language]
        model, speakers = able[draw.integers(len(able))]
        return model, int(draw.integers(speakers)) if speakers > 1 else None


@functools.cache
def _found(folder: str) -> list[tuple[str, Path, int]]:
    """Language, model and number of speakers of each voice in a folder, by name."""
    voices = []
    for model in sorted(Path(folder).rglob("*.onnx")):
        if (described := Path(f"{model}.json")).is_file():
            config = json.loads(described.read_text(encoding="utf-8"))
            voices.append((config["espeak"]["voice"].partition("-")[0], model, config.get("num_speakers", 1)))
    return voices
