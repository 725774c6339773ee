"""Windows over audio that comes in pieces: the one way in which recordings and streams are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from deepfake_lab.audio import Wave, fit_length


class Window(NamedTuple):
    """A piece of audio that a detector hears at once.

    Attributes:
        start: its first sample in the audio.
        wave: samples ``(length,)``, 16 kHz; repeated where the audio is shorter.
        heard: how many of them are of the audio.
    """

    start: int
    wave: Wave
    heard: int


class Windows:
    """Cuts windows of equal length and distance out of audio, however that is divided into chunks.

    Fed with all of a recording, with ``hop = length``, it gives the windows of `deepfake_lab.audio.windows`.

    Args:
        length: of a window, in samples.
        hop: from the beginning of one to that of the next, in samples, at most `length`.
        origin: what the first sample that it is fed is called.
    """

    def __init__(self, length: int, hop: int, origin: int = 0) -> None:
        self.length = length
        self.hop = hop
        self.origin = origin
        self.reset()

    def reset(self) -> None:
        """Forgets what it was fed."""
        self._held: Wave = np.empty(0, np.float32)
        self._start = 0  # of what is held
        self._next = 0  # window
        self.heard = 0
        """Samples that it was fed."""

    def feed(self, chunk: Wave) -> Iterator[Window]:
        """Takes the next samples ``(T,)``; gives the windows that they complete."""
        self._held = np.concatenate([self._held, chunk])
        self.heard += len(chunk)
        while self.heard - self._next >= self.length:
            at = self._next - self._start
            yield Window(self.origin + self._next, self._held[at : at + self.length].copy(), self.length)
            self._next += self.hop
        keep = max(self.heard - self.length, 0)  # what the last window may want
        self._held = self._held[keep - self._start :]
        self._start = keep

    def finish(self) -> Iterator[Window]:
        """The window that ends where the audio ends, if none has yet; the only one, of audio that is shorter."""
        if 0 < self.heard < self.length:
            yield Window(self.origin, fit_length(self._held, self.length), self.heard)
        elif self.heard and self._next - self.hop + self.length < self.heard:
            yield Window(self.origin + self.heard - self.length, self._held[-self.length :].copy(), self.length)
