"""Kokoro: StyleTTS 2 (Li et al., NeurIPS 2023) with an iSTFTNet decoder, 82 million weights, voices of many speakers.

Its authors' network and voices, as the ONNX file that others made of it; `make published` fetches both.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave, resample
from deepfake_lab.synthesis.piper import session
from deepfake_lab.synthesis.system import TextToSpeech, file_digest, pace
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from piper.phonemize_espeak import EspeakPhonemizer

_RATE = 24_000
_STYLE = 256  # numbers of a style; a voice has one for each length of a sentence
_MOST = 510  # phonemes of a sentence
_PHONEMES_A_SECOND = 16.0  # an everyday pace
# A voice's name begins with the letter of its accent: the language, and what espeak-ng calls it.
_ACCENTS: Final = {
    "a": ("en", "en-us"),
    "b": ("en", "en-gb-x-rp"),
    "e": ("es", "es"),
    "f": ("fr", "fr"),
    "i": ("it", "it"),
}
# The network's alphabet: runs of symbols that are numbered one after the other, by the number of the first.
# ruff: disable[RUF001]
_ALPHABET: Final = {
    1: ";:,.!?", 9: "—…\"()“” \u0303ʣʥʦʨᵝꭧAI", 31: "O", 33: "Q", 35: "ST", 39: "W", 41: "Yᵊabcdef",
    50: "hijklmnopqrstuvwxyzɑɐɒæ", 75: "βɔɕç", 80: "ɖðʤə", 85: "ɚɛɜ", 90: "ɟ", 92: "ɡ", 99: "ɥ", 101: "ɨɪʝ",
    110: "ɯɰŋɳɲɴø", 118: "ɸθœ", 123: "ɹ", 125: "ɾɻ", 128: "ʁɽʂʃʈʧ", 135: "ʊʋ", 138: "ʌɣɤ", 142: "χʎ", 147: "ʒʔ",
    156: "ˈˌː", 162: "ʰ", 164: "ʲ", 169: "↓", 171: "→↗↘", 177: "ᵻ",
}  # fmt: skip
# ruff: enable[RUF001]
_NUMBERS: Final = {symbol: first + n for first, run in _ALPHABET.items() for n, symbol in enumerate(run)}


@dataclass(frozen=True, repr=False)
class Kokoro(TextToSpeech):
    """Speaks with a voice drawn by the seed among those of the language.

    Args:
        folder: holds `model.onnx` and `voices/NAME.bin`, whose first letter is the accent: a and b English, e Spanish,
            f French, i Italian. Voices of other accents are not used.
    """

    folder: str = "published/kokoro"
    families: ClassVar[tuple[str, ...]] = ("tts", "neural")

    def __repr__(self) -> str:
        """Says which weights these are, so that speech by other weights is told apart."""
        return f"Kokoro(folder={self.folder!r}, sha256={file_digest(Path(self.folder, 'model.onnx'))!r})"

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the voices that are there."""
        return tuple(dict.fromkeys(_ACCENTS[voice.name[0]][0] for voice in _voices(self.folder)))

    def missing(self) -> str:
        """See `System.missing`."""
        if Path(self.folder, "model.onnx").is_file() and _voices(self.folder):
            return ""
        return f"no model.onnx with voices in {self.folder}; `make published` fetches them where there is npm"

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`.

        Raises:
            LabError: network or voices are not there or of another kind, or the sentence is too long.
        """
        if missing := self.missing():
            raise LabError(f"kokoro: {missing}.")
        voice = self._voice(language, seed)
        numbers = _numbers(text, _ACCENTS[voice.name[0]][1])
        if not 0 < len(numbers) <= _MOST:
            raise LabError(
                f"kokoro: {len(numbers)} phonemes in '{text[:60]}'. Give it 1 to {_MOST}, a sentence or two."
            )
        speed = pace(len(numbers) / _PHONEMES_A_SECOND, seconds)
        inputs = {
            "input_ids": np.array([[0, *numbers, 0]]),
            "style": _style(voice)[len(numbers) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        (wave,) = _network(self.folder).run(None, inputs)
        if not np.isfinite(wave).all():  # half precision overflows on some sentences
            raise LabError(f"kokoro: {voice.stem} says NaN for '{text[:60]}'. Take weights of single precision.")
        return resample(np.asarray(wave, np.float32).reshape(-1), _RATE)

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice drawn by the seed, such as "kokoro-bf_emma"."""
        return f"kokoro-{self._voice(language, seed).stem}"

    def _voice(self, language: str, seed: int) -> Path:
        able = [voice for voice in _voices(self.folder) if _ACCENTS[voice.name[0]][0] == language]
        return able[np.random.default_rng(seed).integers(len(able))]


def _numbers(text: str, accent: str) -> list[int]:
    """The sentence's phonemes as the network counts them; it does without those that it does not know."""
    phonemes = "".join(symbol for sentence in _phonemiser().phonemize(accent, text) for symbol in [*sentence, " "])
    return [_NUMBERS[symbol] for symbol in phonemes.strip() if symbol in _NUMBERS]


@functools.cache
def _voices(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder, "voices").glob("*.bin") if path.name[0] in _ACCENTS)


@functools.lru_cache(maxsize=64)
def _style(voice: Path) -> npt.NDArray[np.float32]:
    """Styles of a voice ``(510, 256)`` by the length of the sentence."""
    numbers = np.fromfile(voice, "<f4")
    if numbers.size != _MOST * _STYLE or not np.isfinite(numbers).all():
        raise LabError(f"{voice}: {numbers.size} numbers, and a voice has {_MOST} styles of {_STYLE}. Fetch it again.")
    return numbers.reshape(_MOST, _STYLE)


@functools.cache
def _phonemiser() -> EspeakPhonemizer:
    from piper.phonemize_espeak import EspeakPhonemizer

    return EspeakPhonemizer()


_network = functools.cache(lambda folder: session(Path(folder, "model.onnx")))
