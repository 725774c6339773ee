"""What every augmentation is: a module over batches on the device, or a function of one utterance in the loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from deepfake_lab.audio import Wave
from deepfake_lab.types import LabError

Range = tuple[float, float]
"""Smallest and largest value that may be drawn; all between them are equally probable."""


class Augmentation(nn.Module, ABC):
    """Disturbs each row of a batch by itself with probability `p`, on the batch's device; for training only.

    What becomes of a row depends on its samples and on its draws alone, never on its label, its place or its
    neighbours. Draws are those of torch's default generator of the device, which the task seeds at every step.

    Args:
        p: probability that a row is disturbed.

    Raises:
        LabError: `p` is no probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _probability(p)

    def forward(self, batch: Tensor) -> Tensor:
        """A new batch, some rows of which are disturbed.

        Args:
            batch: waveforms ``(B, T)``, float32, 16 kHz; features ``(B, C, F, L)`` for `SpecAugment`.

        Returns:
            The same shape.
        """
        return self.disturb(batch.clone())

    def disturb(self, batch: Tensor) -> Tensor:
        """As `forward`, but writes into the batch that it is given."""
        (rows,) = torch.where(torch.rand(len(batch), device=batch.device) < self.p)
        return batch.index_copy_(0, rows, self.augmented(batch.index_select(0, rows))) if len(rows) else batch

    @abstractmethod
    def augmented(self, batch: Tensor) -> Tensor:
        """Disturbs every row, by draws of its own; silence stays finite."""


class Chain(nn.Sequential):
    """Augmentations one after another, with one copy of the batch for all of them."""

    def forward(self, batch: Tensor) -> Tensor:
        """See `Augmentation.forward`."""
        batch = batch.clone() if len(self) else batch
        for augmentation in cast("Iterable[Augmentation]", self):
            batch = augmentation.disturb(batch)
        return batch


class UtteranceAugmentation(ABC):
    """Disturbs one utterance with probability `p`; for training only, where its window is read.

    For what cannot run on a device. It must be picklable, and must not write into what it is given.

    Args:
        p: probability that an utterance is disturbed.

    Raises:
        LabError: `p` is no probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability(p)

    def __call__(self, wave: Wave, draw: np.random.Generator) -> Wave:
        """The waveform, disturbed or not.

        Args:
            wave: ``(T,)``, float32, 16 kHz.
            draw: source of everything random; the data set seeds it from seed, epoch, row and visit.

        Returns:
            Waveform ``(T,)``, float32, of the same length.
        """
        return self.augmented(wave, draw) if draw.random() < self.p else wave

    @abstractmethod
    def augmented(self, wave: Wave, draw: np.random.Generator) -> Wave:
        """Disturbs the waveform; silence stays finite."""


def uniform(batch: Tensor, bounds: Range, size: int = 1) -> Tensor:
    """Draws `size` numbers for each row of a batch, ``(B, size)``, on its device."""
    return torch.empty(len(batch), size, device=batch.device).uniform_(*bounds)


def bounds(name: str, values: Sequence[float], *, least: float = -np.inf, most: float = np.inf) -> Range:
    """Two numbers out of a configuration.

    Raises:
        LabError: they are not two, not in order, or not between `least` and `most`.
    """
    if len(values) != 2 or not least <= values[0] <= values[1] <= most:
        limits = "" if (least, most) == (-np.inf, np.inf) else f" between {least:g} and {most:g}"
        raise LabError(f"augment: {name}={list(values)}: give smallest and largest, two numbers{limits}, in order.")
    return float(values[0]), float(values[1])


def _probability(p: float) -> float:
    if not 0 <= p <= 1:
        raise LabError(f"augment: p={p}: a probability lies between 0 and 1.")
    return p
