"""Which utterances an epoch visits, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One visit to an utterance: its row, and the epoch that seeds the visit's random choices."""

    row: int
    epoch: int


class EpochSampler(Sampler[Draw]):
    """Visits as many utterances an epoch as there are, in an order that depends on seed and epoch alone.

    The epoch travels with each draw, so that data workers, which outlive an epoch, need no other word of it,
    and a run resumed at an epoch boundary sees what an unbroken run would have seen.

    Args:
        size: number of utterances.
        seed: of the order.
        shuffle: whether to shuffle at all; evaluation does not.
        shares: probability of each utterance to be drawn ``(size,)``, with replacement; None visits each once.
    """

    def __init__(self, size: int, seed: int, *, shuffle: bool, shares: npt.NDArray[np.float64] | None = None) -> None:
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.shares = shares
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Draw]:
        rows = np.arange(self.size)
        if self.shuffle:
            random = np.random.default_rng([self.seed, self.epoch])
            if self.shares is None:
                random.shuffle(rows)
            else:
                rows = random.choice(self.size, self.size, p=self.shares)
        return (Draw(int(row), self.epoch) for row in rows)
