"""Which utterances an epoch visits, in which order, and which of them more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

Balance: TypeAlias = Literal["none", "class", "attack", "domain", "pairs"]
"""What is drawn equally often: nothing in particular, see `draw_shares`, or see `PairSampler`."""


class Draw(NamedTuple):
    """One visit to an utterance: its row, and what seeds the visit's random choices with it.

    Attributes:
        row: of the utterance.
        epoch: in which it is drawn.
        visit: how often it has been drawn in this epoch before, so that no two visits are the same.
        beside: row of the utterance that it is drawn beside, to be cropped alike; None: by itself.
    """

    row: int
    epoch: int
    visit: int = 0
    beside: int | None = None


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
        visits = Counter[int]()
        for row in rows.tolist():
            yield Draw(row, self.epoch, visits[row])
            visits[row] += 1


class PairSampler(Sampler[Draw]):
    """Visits every copy once an epoch, right after its original and with the same crop.

    Speaker, words, room and channel are then the same in both classes of every batch, and say nothing of the class
    (vocoded copies beside their sources: Wang and Yamagishi, ICASSP 2023).

    Args:
        pairs: rows of originals and of their copies ``(P, 2)``; see `copies_of`.
        seed: of the order.
    """

    def __init__(self, pairs: npt.NDArray[np.int64], seed: int) -> None:
        self.pairs = pairs
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.pairs.size

    def __iter__(self) -> Iterator[Draw]:
        visits = Counter[int]()
        for original, copy in np.random.default_rng([self.seed, self.epoch]).permutation(self.pairs).tolist():
            yield Draw(original, self.epoch, visits[original])
            yield Draw(copy, self.epoch, visits[original], beside=original)
            visits[original] += 1


class RowSampler(Sampler[Draw]):
    """Visits some rows, in order; what evaluation does.

    Args:
        rows: of the manifest ``(N,)``.
    """

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Draw]:
        return (Draw(row, epoch=0) for row in self.rows.tolist())


class SharedSampler(Sampler[Draw]):
    """A process's share of an epoch of training: its part of every batch that one process alone would have.

    So the number of processes changes neither the order nor what a step of the optimizer learns from.

    Args:
        sampler: of the whole epoch.
        batch_size: utterances a batch, of all processes together.
        rank: number of this process, from 0.
        world: number of processes.
    """

    def __init__(self, sampler: EpochSampler | PairSampler, batch_size: int, rank: int, world: int) -> None:
        self.sampler = sampler
        self.rank = rank
        self.world = world
        batch = min(batch_size, len(sampler))
        self.part = batch // world  # of a batch
        self.batches = len(sampler) // batch  # the processes must take equally many steps

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return self.batches * self.part

    def __iter__(self) -> Iterator[Draw]:
        for place, draw in enumerate(self.sampler):
            part, batch = place // self.part, place // (self.part * self.world)
            if part % self.world == self.rank and batch < self.batches:
                yield draw


TrainingSampler: TypeAlias = EpochSampler | PairSampler | SharedSampler


def rows_of(process: int, world: int, rows: npt.NDArray[np.int64], *, evenly: bool) -> npt.NDArray[np.int64]:
    """The rows that one of several processes evaluates, each its own, but that none is without any.

    Args:
        process: its number, from 0.
        world: number of processes.
        rows: of all of them ``(N,)``.
        evenly: all get equally many: some get the first row once more.
    """
    mine = rows[process::world]
    least = -(-len(rows) // world) if evenly else min(1, len(rows))
    return mine if len(mine) >= least else np.append(mine, rows[:1])


def copies_of(manifest: Manifest) -> npt.NDArray[np.int64]:
    """Rows of bona fide recordings and of the copies made of them ``(P, 2)``: same group, same speaker, same length.

    Raises:
        LabError: there is none.
    """
    columns = (manifest.table[name].to_pylist() for name in ("group", "speaker", "frames", "label"))
    rows = list(zip(*columns, strict=True))
    originals = {row[:3]: number for number, row in enumerate(rows) if row[3] == BONAFIDE}
    pairs = [
        (originals[row[:3]], number) for number, row in enumerate(rows) if row[3] == SPOOF and row[:3] in originals
    ]
    if not pairs:
        raise LabError(
            f"loader.balance=pairs: no fake in {manifest.root} has group, speaker and length of a real recording. Take "
            "a corpus of copies (openprompts, wavefake, ljspeech with systems), or loader.balance=class."
        )
    return np.array(pairs, dtype=np.int64)


def draw_shares(
    manifest: Manifest, balance: Balance = "none", weights: Mapping[str, float] | None = None
) -> npt.NDArray[np.float64] | None:
    """Probability of each utterance to be drawn: of a draw that goes down from its class to the utterance.

    With `balance`, bona fide and spoof are drawn equally often. With `weights`, a corpus comes next, among those that
    have the class. Then, equally often, one of the attacks ("attack"; bona fide has none) or one of the domains,
    corpus and codec together ("domain"), that are left. Last, any utterance of these. So, where there are weights and
    every corpus has both classes, a balanced class tells nothing of the corpus.

    Args:
        manifest: utterances to draw from.
        balance: what is drawn equally often.
        weights: odds of each corpus in the manifest; None or empty counts utterances, not corpora.

    Returns:
        Probabilities ``(N,)``; None if each utterance is to be drawn once.
    """
    if balance == "none" and not weights:
        return None
    corpus, codec = _codes(manifest, "corpus"), _codes(manifest, "codec")
    cell, share = np.zeros(len(manifest), dtype=np.int64), np.ones(len(manifest))
    if balance != "none":
        cell, share = _deal(cell, share, _codes(manifest, "label"))
    if weights:
        names = manifest.table["corpus"].to_numpy()
        cell, share = _deal(cell, share, corpus, np.array([weights[name] for name in names], dtype=np.float64))
    if balance == "attack":
        cell, share = _deal(cell, share, _codes(manifest, "attack"))
    if balance == "domain":
        cell, share = _deal(cell, share, corpus * (1 + codec.max(initial=0)) + codec)
    return share / np.bincount(cell)[cell]


def _codes(manifest: Manifest, column: str) -> npt.NDArray[np.int64]:
    """A number for each different value of a column ``(N,)``."""
    indices = manifest.table[column].combine_chunks().dictionary_encode().indices
    return np.asarray(indices.to_numpy(), dtype=np.int64)


def _deal(
    cell: npt.NDArray[np.int64],
    share: npt.NDArray[np.float64],
    value: npt.NDArray[np.int64],
    odds: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Parts each cell of utterances by a value of theirs, and deals its share to the parts.

    Args:
        cell: the cell of each utterance ``(N,)``, from 0.
        share: of the cell of each utterance ``(N,)``.
        value: of each utterance ``(N,)``, from 0.
        odds: of each utterance's part ``(N,)``; None deals evenly.

    Returns:
        The same two, of the parts.
    """
    _, first, part = np.unique(cell * (1 + value.max(initial=0)) + value, return_index=True, return_inverse=True)
    odds_of_part = np.ones(len(first)) if odds is None else odds[first]
    total = np.bincount(cell[first], weights=odds_of_part)
    return part, share * odds_of_part[part] / total[cell]
