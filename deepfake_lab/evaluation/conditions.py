"""Conditions: what may happen to recordings before a detector hears them, at fixed levels.

They are the augmentations of `deepfake_lab.augment`, with nothing left to chance but what a level does not say: which
noise it is, which room.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from torch import nn

from deepfake_lab.audio import Wave
from deepfake_lab.augment import codecs
from deepfake_lab.augment.augmentation import Augmentation, UtteranceAugmentation
from deepfake_lab.data.dataset import Augment
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import LabError

CHOOSE_LEVELS: Final = ("values", "names", "bands_hz", "axis")
"""Settings of conditions that say which levels there are and what they are called, and change none of them."""


class Condition(ABC):
    """One kind of harm, at several levels.

    Attributes:
        axis: what a level says, for people.
        ordered: whether levels lie on one scale, the mildest first.
    """

    axis: str
    ordered: ClassVar[bool] = True

    @property
    @abstractmethod
    def levels(self) -> tuple[str, ...]:
        """Names of the levels."""

    @abstractmethod
    def at(self, level: str) -> Augment:
        """What is done to a window at a level; picklable, and the same whenever its draws are the same."""


@dataclass(frozen=True)
class Pinned(Condition):
    """An augmentation that draws from a range, pinned to one value after another.

    Attributes:
        augmentation: makes it, given its range and its probability `p`.
        parameter: name of the range.
        values: the levels, the mildest first.
        axis: see `Condition`.
    """

    augmentation: Callable[..., Augmentation | UtteranceAugmentation]
    parameter: str
    values: Sequence[float]
    axis: str

    @property
    def levels(self) -> tuple[str, ...]:
        """The values."""
        return tuple(f"{value:g}" for value in self.values)

    def at(self, level: str) -> Augment:
        """See `Condition.at`.

        Raises:
            LabError: the augmentation has no such range, or takes no such value.
        """
        value = self.values[self.levels.index(level)]
        try:
            made = self.augmentation(**{self.parameter: (value, value), "p": 1.0})
        except TypeError as error:
            raise LabError(
                f"conditions: parameter={self.parameter}: {error}. Name a range of the augmentation."
            ) from error
        return made if isinstance(made, UtteranceAugmentation) else _OfOneWindow(made)


@dataclass(frozen=True)
class Codecs(Condition):
    """Codecs at their worst, middle and best quality; see `deepfake_lab.augment.codecs`.

    Attributes:
        names: of the codecs; None takes all that this machine can apply.
        axis: see `Condition`.

    Raises:
        LabError: a codec is not known, or not to be had here.
    """

    names: Sequence[str] | None = None
    axis: str = "codec, kbit/s"
    ordered: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in self.names or ():
            codecs.find(name)

    @property
    def levels(self) -> tuple[str, ...]:
        """Name and quality, such as ``mp3 24``."""
        return tuple(
            f"{name} {quality:g}"
            for name in (codecs.available() if self.names is None else self.names)
            for quality in _low_middle_high(codecs.find(name).qualities)
        )

    def at(self, level: str) -> Augment:
        """See `Condition.at`."""
        name, _, quality = level.partition(" ")
        return _Coded(name, float(quality))


@dataclass(frozen=True)
class Bands(Condition):
    """Channels that let one band pass.

    Attributes:
        bands_hz: lowest and highest frequencies in Hz, the widest band first.
        axis: see `Condition`.
    """

    bands_hz: Sequence[tuple[float, float]]
    axis: str = "Hz that pass"

    @property
    def levels(self) -> tuple[str, ...]:
        """Lowest and highest frequency, such as ``300-3400``."""
        return tuple(f"{low:g}-{high:g}" for low, high in self.bands_hz)

    def at(self, level: str) -> Augment:
        """See `Condition.at`."""
        return _OfOneWindow(Treatment(band_hz=self.bands_hz[self.levels.index(level)]))


@dataclass(frozen=True)
class _Coded:
    """One codec at one quality."""

    name: str
    quality: float

    def __call__(self, wave: Wave, draw: np.random.Generator) -> Wave:
        return codecs.recode(wave, self.name, self.quality)


@dataclass(frozen=True)
class _OfOneWindow:
    """What takes batches, for a single window; torch's generator is left as it was."""

    module: nn.Module

    def __call__(self, wave: Wave, draw: np.random.Generator) -> Wave:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(draw.integers(2**63)))
            changed: Wave = self.module(torch.tensor(wave[None]))[0].numpy()
        return changed


def _low_middle_high(qualities: Sequence[float]) -> list[float]:
    """First, middle and last of the qualities, each once."""
    return sorted({qualities[0], qualities[(len(qualities) - 1) // 2], qualities[-1]})
