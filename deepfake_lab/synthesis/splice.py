"""Partial spoofs: stretches of a recording replaced by their copies (Zhang et al., "PartialSpoof", TASLP 2023)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder, at_level_of
from deepfake_lab.types import SAMPLE_RATE, LabError, Span

_GRID = SAMPLE_RATE // 100  # places to cut at, and what is looked at to find quiet ones: 10 ms
_REACH = 5  # places that a cut may move by, to a quieter one
_FILLED = 0.8  # share of its part of the recording that a stretch takes at most


@dataclass(frozen=True)
class Splice(Vocoder):
    """Replaces some stretches of a recording by those of its copy, at the same level, and leaves the rest.

    The recording is parted evenly, and a stretch drawn in each part. Its ends move to the quietest place nearby. One
    vocoder, drawn by the seed, makes all the stretches of a recording; those that the machine lacks are left out.

    Args:
        vocoders: what makes the copies, by any name.
        stretches: range of their number, drawn by the seed; short recordings get fewer.
        length_s: range of their length before the ends move, in s.
        fade_ms: length of the crossfades, which lie within the stretches.

    Raises:
        LabError: there is no vocoder, or a range is none.
    """

    vocoders: Mapping[str, Vocoder]
    stretches: tuple[int, int] = (1, 3)
    length_s: tuple[float, float] = (0.25, 1.5)
    fade_ms: float = 10.0
    families: ClassVar[tuple[str, ...]] = ("splice",)
    partial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.vocoders:
            raise LabError("splice: vocoders is empty. Name at least one that copies the stretches.")
        if not (0 < self.stretches[0] <= self.stretches[1] and 0.2 <= self.length_s[0] <= self.length_s[1]):
            raise LabError(
                f"splice: stretches={list(self.stretches)}, length_s={list(self.length_s)}: give ranges (least, most), "
                "of one stretch and of 0.2 s at least."
            )

    def missing(self) -> str:
        """See `System.missing`; one vocoder is enough."""
        return "" if self._there() else next(iter(self.vocoders.values())).missing()

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Replaces stretches of speech ``(T,)``; see `Vocoder.vocode`."""
        there = self._there()
        copied = there[int(np.random.default_rng([seed, 1]).integers(len(there)))].vocode(wave, seed)
        spliced = wave.copy()
        for span in self.spans(wave, seed):
            place = slice(round(span.start_s * SAMPLE_RATE), round(span.end_s * SAMPLE_RATE))
            real = wave[place]
            share = _faded(len(real), round(self.fade_ms * SAMPLE_RATE / 1e3))
            spliced[place] = (1 - share) * real + share * at_level_of(real, copied[place].astype(np.float64))
        return spliced

    def spans(self, wave: Wave, seed: int) -> list[Span]:
        """See `Vocoder.spans`."""
        draw = np.random.default_rng([seed, 0])
        places = len(wave) // _GRID
        least, most = (round(seconds * SAMPLE_RATE / _GRID) for seconds in self.length_s)
        number = max(1, min(int(draw.integers(*self.stretches, endpoint=True)), places // (2 * least)))
        loudness = np.square(wave[: places * _GRID], dtype=np.float64).reshape(places, _GRID).sum(axis=1)
        edges = np.linspace(0, places, number + 1).astype(int)
        spans = []
        for first, last in itertools.pairwise(edges):
            longest = max(1, int(_FILLED * (last - first)))
            length = int(draw.integers(min(least, longest), min(most, longest), endpoint=True))
            start = int(draw.integers(first, last - length, endpoint=True))
            ends = (_quiet(loudness, place, first, last) for place in (start, start + length))
            spans.append(Span(*(place * _GRID / SAMPLE_RATE for place in ends)))
        return spans

    def _there(self) -> list[Vocoder]:
        return [vocoder for vocoder in self.vocoders.values() if not vocoder.missing()]


def _quiet(loudness: np.ndarray[tuple[int], np.dtype[np.float64]], place: int, first: int, last: int) -> int:
    """The quietest place to cut near a place, from `first` to `last`."""
    near = range(max(place - _REACH, first), min(place + _REACH, last) + 1)
    around = np.convolve(loudness, [1, 1])[near.start : near.stop]  # 10 ms before and after each place
    return near[int(np.argmin(around))]


def _faded(length: int, fade: int) -> Wave:
    """Share of the copy ``(length,)`` in a stretch: in and out of it by half a cosine."""
    fade = min(fade, length // 2)
    rise = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)) ** 2
    return np.concatenate([rise, np.ones(length - 2 * fade), rise[::-1]]).astype(np.float32)
