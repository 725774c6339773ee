"""MUSAN: noises, music and speech without copyright (Snyder, Chen and Povey, arXiv 1510.08484).

`musan/{noise,music,speech}/<source>/*.wav`, at 16 kHz. A source is a web site or a library, not a place where it sounds
alike, and noise has two of them for three splits: so a group is a recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deepfake_lab.data.noise import Kind, NoiseCollection, Recording

KINDS: Final[tuple[Kind, ...]] = ("noise", "music", "speech")


class Musan(NoiseCollection):
    """MUSAN, split by recording within each kind."""

    name = "musan"
    layout = tuple(f"{kind}/*/*.wav" for kind in KINDS)
    rates = frozenset({16_000})

    def recordings(self) -> Iterator[Recording]:
        """Noise, music and speech, as far as they are there; see `NoiseCollection.recordings`."""
        for kind, pattern in zip(KINDS, self.layout, strict=True):
            for path in sorted(self.root.glob(pattern)):
                group = f"{self.name}/{path.stem}"
                yield Recording(path.relative_to(self.root).as_posix(), kind, group, part=kind)
