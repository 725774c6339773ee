"""What a synthesis system offers: a vocoder copies a recording, a text-to-speech system speaks a sentence.

Systems are small frozen dataclasses: they travel to worker processes and their `repr` tells one setting from
another. Whatever is heavy (a library, a network) is loaded at the first call. Equal arguments give equal samples,
whichever calls came before.
"""

from __future__ import annotations

import functools
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.types import Span

_SLOWEST, _FASTEST = 0.7, 1.4


class System:
    """A way of making speech.

    Attributes:
        families: what kind it is, such as "source_filter", "phase", "mel", "codec", "tts" or "neural"; systems are
            held out of training by family too.
    """

    families: ClassVar[tuple[str, ...]] = ()

    def missing(self) -> str:
        """What this machine lacks for it, and how to get that; empty if nothing."""
        return ""


class Vocoder(System, ABC):
    """Copy-synthesis: analyses a recording and builds it anew.

    Attributes:
        partial: whether it makes some stretches anew, and `spans` says which, or all of a recording.
    """

    partial: ClassVar[bool] = False

    @abstractmethod
    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies a waveform.

        Args:
            wave: speech ``(T,)``, float32, 16 kHz.
            seed: decides whatever is random in the system.

        Returns:
            The copy ``(T,)``: same length, same rate, aligned with the original.
        """

    def spans(self, wave: Wave, seed: int) -> list[Span]:
        """Which stretches `vocode` makes anew, in order, where it leaves the others as recorded.

        Args:
            wave: see `vocode`.
            seed: see `vocode`.

        Returns:
            The stretches; none unless it is `partial`.
        """
        return []


class TextToSpeech(System, ABC):
    """Speaks text."""

    @property
    @abstractmethod
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of the languages it speaks."""

    @abstractmethod
    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence.

        Args:
            text: the sentence, with its punctuation.
            language: one of `languages`.
            seed: decides the voice as far as the system has several, and whatever is random in it.
            seconds: length to aim at; speech takes another where that would not sound natural.

        Returns:
            Speech ``(T,)``, float32, 16 kHz.
        """

    @abstractmethod
    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice that `speak` uses for the same language and seed."""


def at_level_of(original: Wave, copied: npt.NDArray[np.float64]) -> Wave:
    """Brings a copy ``(T,)`` to the RMS level of its original ``(T,)``."""
    levels = [np.sqrt(np.mean(np.square(wave, dtype=np.float64))) for wave in (original, copied)]
    return np.asarray(copied * (levels[0] / max(levels[1], 1e-9)), dtype=np.float32)


def file_digest(path: Path) -> str | None:
    """Beginning of the digest of a file of weights, for the `repr` of a system; None if there is none."""
    return _digest(path, path.stat().st_mtime_ns) if path.is_file() else None


@functools.lru_cache(maxsize=64)
def _digest(path: Path, changed_ns: int) -> str:
    """Computed anew when the file has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def pace(usual_s: float, wanted_s: float) -> float:
    """Factor on the rate of speech that brings a sentence to the wanted length, as far as that sounds natural."""
    return min(max(usual_s / wanted_s, _SLOWEST), _FASTEST)
