"""RIRS_NOISES: rooms and noises for reverberant speech (Ko et al., ICASSP 2017; OpenSLR 28), at 16 kHz.

* `simulated_rirs/{small,medium,large}room/RoomNNN/*.wav`: responses of simulated rooms;
* `real_rirs_isotropic_noises/*.wav`: responses of real rooms, and noise recorded in them, from three projects, whose
  name begins the file's: AIR, RWCP and the REVERB challenge of 2014;
* `pointsource_noises/*.wav`: noises out of MUSAN, under the names that they have there.
"""

from __future__ import annotations

from collections.abc import Iterator

from deepfake_lab.data.noise import Kind, NoiseCollection, Recording


class Rirs(NoiseCollection):
    """RIRS_NOISES, split by room; real rooms, which file names do not tell reliably, by project."""

    name = "rirs"
    layout = ("simulated_rirs/*room/Room*/*.wav", "real_rirs_isotropic_noises/*.wav", "pointsource_noises/*.wav")
    rates = frozenset({16_000})

    def recordings(self) -> Iterator[Recording]:
        """Rooms, then noises, as far as they are there; see `NoiseCollection.recordings`."""
        simulated, real, noises = (sorted(self.root.glob(pattern)) for pattern in self.layout)
        for path in simulated:
            size, room = path.parts[-3:-1]
            below = path.relative_to(self.root).as_posix()
            yield Recording(below, "rir", f"{self.name}/{size}/{room}", part=size)
        for path in real:
            project = path.name.partition("_")[0]
            kind: Kind = "noise" if "_noise_" in path.name else "rir"
            yield Recording(f"{path.parent.name}/{path.name}", kind, f"{self.name}/{project}", part="real")
        for path in noises:
            yield Recording(f"{path.parent.name}/{path.name}", "noise", f"musan/{path.stem}", part="pointsource")
