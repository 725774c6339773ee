"""DEMAND: five minutes of each of 18 environments by an array of 16 microphones (Thiemann et al., ICA 2013).

`<ENV>/ch01.wav` ... `ch16.wav`, at 16 or 48 kHz. The 16 channels are one recording heard from 16 places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deepfake_lab.data.download import OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.noise import NoiseCollection, Recording
from deepfake_lab.data.splits import SHARES
from deepfake_lab.types import LabError, Split

MICROPHONES = 16


class Demand(NoiseCollection):
    """DEMAND, split by environment.

    Args:
        root: folder that holds the environments' folders.
        work: see `Download`.
        channels: microphones to take, 1 to 16; more of them add hardly anything new.
        shares: of the environments that each split gets.
        seed: decides which environments.
        check: see `Download`.
        on_error: see `Download`.
        workers: see `Download`.

    Raises:
        LabError: there is no such microphone.
    """

    name = "demand"
    layout = ("*/ch[01][0-9].wav",)
    rates = frozenset({16_000, 48_000})
    groups = 18

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        channels: Sequence[int] = (1,),
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
    ) -> None:
        super().__init__(root, work, shares=shares, seed=seed, check=check, on_error=on_error, workers=workers)
        self.channels = sorted(set(channels))
        if not self.channels or not 1 <= self.channels[0] <= self.channels[-1] <= MICROPHONES:
            raise LabError(f"data.channels={list(channels)}: name microphones from 1 to {MICROPHONES}, such as [1].")

    @property
    def settings(self) -> dict[str, object]:
        """See `Download.settings`."""
        return {**super().settings, "channels": self.channels}

    def recordings(self) -> Iterator[Recording]:
        """The chosen channels of every environment, there or not; see `NoiseCollection.recordings`."""
        for environment in sorted({path.parent.name for path in self.root.glob(self.layout[0])}):
            for channel in self.channels:
                yield Recording(f"{environment}/ch{channel:02d}.wav", "noise", f"{self.name}/{environment}")
