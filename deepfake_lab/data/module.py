"""One LightningDataModule for every corpus."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from deepfake_lab.audio import Padding
from deepfake_lab.data import guards
from deepfake_lab.data.cache import DecodedCache
from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.dataset import Augment, Crop, Trial, UtteranceDataset
from deepfake_lab.data.features import FeatureCache, Recipe
from deepfake_lab.data.manifest import Finding, Manifest
from deepfake_lab.data.noise import NoiseCollection, with_trials
from deepfake_lab.data.sampling import (
    Balance,
    EpochSampler,
    PairSampler,
    RowSampler,
    SharedSampler,
    TrainingSampler,
    copies_of,
    draw_shares,
    rows_of,
)
from deepfake_lab.types import SPLITS, SPOOF, Batch, Domain, LabError, Split


class CorpusDataModule(pl.LightningDataModule):
    """Serves a corpus in batches: random crops in training, first windows in evaluation.

    Args:
        corpus: what to serve.
        stages: what it is wanted for; see `deepfake_lab.data.guards.check`.
        window_s: length of every waveform in seconds.
        train_crop: which part of a longer utterance training takes.
        eval_crop: which part evaluation takes; published numbers are of first windows.
        padding: how shorter utterances fill the window.
        balance: what training draws equally often; see `deepfake_lab.data.sampling.draw_shares`.
        trim: leave out the quiet edges of utterances; a trained detector knows whether it wants that.
        cache: folder for decoded copies of the utterances; None reads the files themselves.
        feature_cache: folder for features of training windows, for `keep_features`.
        crops: windows of a longer utterance that are kept there.
        augment: what is done to the windows of training, in this order, by any name.
        batch_size: utterances a batch, of all processes together that train a detector.
        num_workers: reading processes; null takes one less than there are cores, at most 8, and none where features
            are read: copying them is less work than passing them on.
        seed: of order, crops, augmentations and of the permutation of `corpus.shuffle_labels`.

    Raises:
        LabError: it is a noise collection, not a corpus.
    """

    def __init__(
        self,
        corpus: Corpus | NoiseCollection,
        *,
        stages: Sequence[str] = ("fit", "test"),
        window_s: float = 4.0,
        train_crop: Crop = "random",
        eval_crop: Crop = "first",
        padding: Padding = "repeat",
        balance: Balance = "none",
        trim: bool = False,
        cache: str | Path | None = None,
        feature_cache: str | Path | None = None,
        crops: int = 4,
        augment: Mapping[str, Augment] | None = None,
        batch_size: int = 32,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.corpus = with_trials(corpus)
        self.stages = stages
        self.window_s = window_s
        self.crops: dict[bool, Crop] = {True: train_crop, False: eval_crop}
        self.padding = padding
        self.balance = balance
        self.trim = trim
        self.cache = None if cache is None else Path(cache)
        self.feature_cache = None if feature_cache is None else Path(feature_cache)
        self.crops_kept = crops
        self.features: FeatureCache | None = None
        self.augment = tuple((augment or {}).values())
        self.batch_size = batch_size
        self.num_workers = min((os.cpu_count() or 1) - 1, 8) if num_workers is None else num_workers
        self.feature_workers = num_workers or 0
        self.seed = seed
        self.findings: list[Finding] = []
        self.remaining: dict[Split, npt.NDArray[np.int64]] = {}
        """Rows that are left for this process to evaluate; its share of a split that is not named."""
        self._splits: dict[Split, Manifest] = {}

    def prepare_data(self) -> None:
        """Prepares the corpus where it is missing (Lightning calls this in one process only)."""
        if not self._splits:  # asked at every stage, and `setup` may have read it all before
            self.corpus.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Reads the manifest and refuses meaningless data.

        Raises:
            LabError: see `deepfake_lab.data.guards`.
        """
        if self._splits:
            return
        manifest = self.corpus.prepare()
        guards.check_files(manifest)
        self.findings = guards.check(manifest, self.stages)
        if self.corpus.shuffle_labels:
            manifest = manifest.with_shuffled_labels(self.seed)
        self.manifest = manifest
        self._splits = {name: manifest.split(name) for name in SPLITS}

    def split(self, name: Split) -> Manifest:
        """Utterances of one split, in the order in which `Batch.row` counts them."""
        return self._splits[name]

    @property
    def evaluated(self) -> list[Split]:
        """Splits to measure a detector on; a corpus for evaluation alone has no dev."""
        return [name for name in ("dev", "test") if len(self._splits[name])]

    def training_counts(self) -> tuple[float, float]:
        """Numbers of (bona fide, spoof) utterances that training draws in an epoch, expected ones under weights."""
        manifest = self._splits["train"]
        if self.balance == "pairs":
            return len(self._pairs), len(self._pairs)
        shares = draw_shares(manifest, self.balance, self.corpus.weights)
        if shares is None:
            return manifest.counts()["train"]
        spoof = float(shares[manifest.table["label"].to_numpy() == SPOOF].sum()) * len(manifest)
        return len(manifest) - spoof, spoof

    @functools.cached_property
    def _pairs(self) -> npt.NDArray[np.int64]:
        """Rows of training recordings and of their copies; see `copies_of`."""
        return copies_of(self._splits["train"])

    def training_domains(self, column: Domain) -> npt.NDArray[np.int64]:
        """Numbers of the domains of the training utterances, from 0 ``(N,)``.

        Raises:
            LabError: all are of one.
        """
        values = self._splits["train"].table[column].combine_chunks().dictionary_encode()
        if len(values.dictionary) < 2:
            (only,) = values.dictionary.to_pylist()
            raise LabError(
                f"model.domain={column}: all training utterances of {self.corpus.name} are of one, '{only}'. "
                "Choose another column, data=mix, or model.domain=null."
            )
        return np.asarray(values.indices.to_numpy(), dtype=np.int64)

    def train_dataloader(self) -> DataLoader[Trial]:
        """Shuffled random crops of the train split: this process's part of each batch."""
        loader = self._loader("train", *self._place)
        sampler = loader.sampler
        if self.trainer is not None and isinstance(sampler, TrainingSampler):
            # a resumed run's loading processes ask for their first batches before Lightning names the epoch
            epochs = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(epochs.processed)  # type: ignore[attr-defined]  # as Lightning does later
        return loader

    def val_dataloader(self) -> DataLoader[Trial]:
        """First windows of the dev split: those of this process."""
        return self._loader("dev", *self._place)

    def test_dataloader(self) -> DataLoader[Trial]:
        """First windows of the test split: those of this process."""
        return self._loader("test", *self._place)

    def keep_features(self, recipe: Recipe) -> None:
        """Has training read features in place of audio, and computes those that are not kept yet.

        Raises:
            LabError: see `FeatureCache.build`.
        """
        assert self.feature_cache is not None
        self.features = FeatureCache.build(self._dataset("train"), recipe, self.feature_cache, crops=self.crops_kept)

    def loader(self, name: Split, rows: npt.NDArray[np.int64] | None = None) -> DataLoader[Trial]:
        """Batches of a whole split, or of some rows ``(N,)`` of it, as training or evaluation hears it."""
        return self._loader(name) if rows is None else self._batches(name, RowSampler(rows), self.batch_size)

    @property
    def _place(self) -> tuple[int, int]:
        """Number of this process, and of how many."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, name: Split, rank: int = 0, world: int = 1) -> DataLoader[Trial]:
        """Batches of a process's share of a split.

        Raises:
            LabError: a batch cannot be shared equally, or see `_training_sampler`.
        """
        if self.batch_size % world:
            raise LabError(
                f"loader.batch_size={self.batch_size}: is of all {world} processes together, so {world} must divide it."
            )
        manifest, training = self._splits[name], name == "train"
        sampler = self._training_sampler(manifest, rank, world) if training else self._rows(name, rank, world)
        return self._batches(name, sampler, self.batch_size // world)

    def _batches(self, name: Split, sampler: TrainingSampler | RowSampler, batch_size: int) -> DataLoader[Trial]:
        """Batches of what a sampler visits of a split."""
        dataset = self._dataset(name)
        training = name == "train"
        workers = self.num_workers
        if training and self.features is not None:
            dataset.features, workers = self.features, self.feature_workers
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # the data set fills the rectangle itself
            # one odd trial would break batch norm, and a short last batch weighs each of its trials more
            drop_last=training and len(sampler) > batch_size,
        )

    def _dataset(self, name: Split) -> UtteranceDataset:
        training = name == "train"
        manifest = self._splits[name]
        return UtteranceDataset(
            manifest,
            self.window_s,
            crop=self.crops[training],
            padding=self.padding,
            trim=self.trim,
            seed=self.seed,
            cache=None if self.cache is None else DecodedCache.build(manifest, self.cache),
            augment=self.augment if training else (),
        )

    def _rows(self, name: Split, rank: int, world: int) -> RowSampler:
        """What a process evaluates; in training all take equally many steps, in which they exchange statistics."""
        if name in self.remaining:
            return RowSampler(self.remaining[name])
        fitting = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        return RowSampler(rows_of(rank, world, np.arange(len(self._splits[name])), evenly=fitting))

    def _training_sampler(
        self, manifest: Manifest, rank: int, world: int
    ) -> EpochSampler | PairSampler | SharedSampler:
        """Order and shares of the training utterances, or a process's part of each batch of them.

        Raises:
            LabError: pairs would be torn apart, or there are none; or there are fewer utterances than processes.
        """
        sampler: EpochSampler | PairSampler
        if self.balance != "pairs":
            shares = draw_shares(manifest, self.balance, self.corpus.weights)
            sampler = EpochSampler(len(manifest), self.seed, shuffle=True, shares=shares)
        else:
            if self.batch_size // world % 2:
                raise LabError(
                    f"loader.batch_size={self.batch_size}: pairs need an even one{' in each process' * (world > 1)}."
                )
            if self.corpus.weights:
                raise LabError(
                    "loader.balance=pairs: draws every copy once, and takes no data.weights. Leave one of them out."
                )
            sampler = PairSampler(self._pairs, self.seed)
        if len(sampler) < world:
            raise LabError(f"trainer.devices: {len(sampler)} utterances cannot be shared among {world} processes.")
        return sampler if world == 1 else SharedSampler(sampler, self.batch_size, rank, world)


def _as_it_is(batch: Batch) -> Batch:
    return batch
