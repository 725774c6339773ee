"""Festival: diphones, unit selection and HMM voices (Black & Taylor, 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.program import SPEECH, TEXT, check_voices, lacking, run
from deepfake_lab.synthesis.system import TextToSpeech, pace
from deepfake_lab.types import SAMPLE_RATE, LabError


class _Voice(NamedTuple):
    """A voice: its language, its Debian package, how it reads letters, and whether its pace can be set."""

    language: str
    package: str
    encoding: str = "latin-1"
    paced: bool = True


_VOICES: Final = {
    "kal_diphone": _Voice("en", "festvox-kallpc16k"),
    "cmu_us_slt_arctic_hts": _Voice("en", "festvox-us-slt-hts", paced=False),
    "lp_diphone": _Voice("it", "festvox-italp16k"),
    "pc_diphone": _Voice("it", "festvox-itapc16k"),
    "msu_ru_nsh_clunits": _Voice("ru", "festvox-ru", encoding="utf-8", paced=False),
}
_FOLDERS = tuple(Path(share, "festival/voices") for share in ("/usr/share", "/usr/local/share"))


@dataclass(frozen=True)
class Festival(TextToSpeech):
    """Speaks with a voice drawn by the seed among those of the language.

    Args:
        voices: names that Festival gives its voices; all of them must be installed, so that equal seeds give equal
            voices everywhere.

    Raises:
        LabError: an unknown voice.
    """

    voices: Sequence[str] = tuple(_VOICES)
    families: ClassVar[tuple[str, ...]] = ("tts",)

    def __post_init__(self) -> None:
        """Checks the voices."""
        check_voices(self.voices, tuple(_VOICES), "festival")

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of its voices."""
        return tuple(dict.fromkeys(_VOICES[name].language for name in self.voices))

    def missing(self) -> str:
        """See `System.missing`; voices count as well."""
        there = {path.name for folder in _FOLDERS for path in folder.glob("*/*")}
        absent = [_VOICES[name].package for name in self.voices if name not in there]
        if missing := lacking("text2wave", ["festival", *absent]):
            return missing
        named = f"voices are missing. Debian: apt-get install {' '.join(absent)}; or name others as its voices"
        return named if absent else ""

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`.

        Raises:
            LabError: the program or a voice is not installed.
            RuntimeError: it failed.
        """
        if missing := self.missing():
            raise LabError(f"festival: {missing}.")
        name = self._voice(language, seed)
        usual = _speak(text, name, 1.0)
        if not _VOICES[name].paced:
            return usual
        return _speak(text, name, 1 / pace(len(usual) / SAMPLE_RATE, seconds))

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice drawn by the seed, such as "festival-kal_diphone"."""
        return f"festival-{self._voice(language, seed)}"

    def _voice(self, language: str, seed: int) -> str:
        able = [name for name in self.voices if _VOICES[name].language == language]
        return str(np.random.default_rng(seed).choice(able))


def _speak(text: str, voice: str, stretch: float) -> Wave:
    settings = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.4f}))"
    return run(["text2wave", "-eval", settings, "-o", SPEECH, TEXT], text.encode(_VOICES[voice].encoding, "replace"))
