"""What a synthesis system offers: a vocoder copies a recording, a text-to-speech system speaks a sentence.

Systems are small frozen dataclasses: they travel to worker processes and their `repr` tells one setting from
another. Whatever is heavy (a library, a network) is loaded at the first call. Equal arguments give equal samples,
whichever calls came before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from deepfake_lab.audio import Wave

_SLOWEST, _FASTEST = 0.7, 1.4


class Vocoder(ABC):
    """Copy-synthesis: analyses a recording and builds it anew."""

    @abstractmethod
    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies a waveform.

        Args:
            wave: speech ``(T,)``, float32, 16 kHz.
            seed: decides whatever is random in the system.

        Returns:
            The copy ``(T,)``: same length, same rate, aligned with the original.
        """


class TextToSpeech(ABC):
    """Speaks text.

    Attributes:
        languages: ISO 639-1 codes of the languages it speaks.
    """

    languages: ClassVar[tuple[str, ...]]

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


def pace(usual_s: float, wanted_s: float) -> float:
    """Factor on the rate of speech that brings a sentence to the wanted length, as far as that sounds natural."""
    return min(max(usual_s / wanted_s, _SLOWEST), _FASTEST)
