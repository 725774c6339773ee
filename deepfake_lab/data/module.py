"""One LightningDataModule for every corpus."""

from __future__ import annotations

import os

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from deepfake_lab.data import guards
from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.dataset import Trial, UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import EpochSampler
from deepfake_lab.types import SPLITS, Batch, Split


class CorpusDataModule(pl.LightningDataModule):
    """Serves a corpus in batches: random crops in training, first windows in evaluation.

    Args:
        corpus: what to serve.
        window_s: length of every waveform in seconds.
        batch_size: utterances a batch.
        num_workers: reading processes; null takes one less than there are cores, at most 8.
        seed: of order, crops and of the permutation of `corpus.shuffle_labels`.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        window_s: float = 4.0,
        batch_size: int = 32,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.corpus = corpus
        self.window_s = window_s
        self.batch_size = batch_size
        self.num_workers = min((os.cpu_count() or 1) - 1, 8) if num_workers is None else num_workers
        self.seed = seed
        self.findings: list[guards.Finding] = []
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
        self.findings = guards.check(manifest)
        if self.corpus.shuffle_labels:
            manifest = manifest.with_shuffled_labels(self.seed)
        self.manifest = manifest
        self._splits = {name: manifest.split(name) for name in SPLITS}

    def split(self, name: Split) -> Manifest:
        """Utterances of one split, in the order in which `Batch.row` counts them."""
        return self._splits[name]

    def train_dataloader(self) -> DataLoader[Trial]:
        """Shuffled random crops of the train split."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[Trial]:
        """First windows of the dev split."""
        return self._loader("dev")

    def test_dataloader(self) -> DataLoader[Trial]:
        """First windows of the test split."""
        return self._loader("test")

    def _loader(self, name: Split) -> DataLoader[Trial]:
        training = name == "train"
        dataset = UtteranceDataset(self._splits[name], self.window_s, random_crop=training, seed=self.seed)
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=EpochSampler(len(dataset), self.seed, shuffle=training),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # the data set fills the rectangle itself
            # one odd trial would break batch norm, and a short last batch weighs each of its trials more
            drop_last=training and len(dataset) > self.batch_size,
        )


def _as_it_is(batch: Batch) -> Batch:
    return batch
