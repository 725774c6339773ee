"""Compares a training step of the lab (Lightning task, Trainer, callbacks, MLflow run) with a bare PyTorch loop.

Both train the same detector with the same loss, optimizer and gradient clipping on the same batches, which lie in
memory. They take turns step by step: Lightning asks an iterable for each batch, and the iterable does one bare step
before it hands the batch out. What passes until Lightning asks again is Lightning's step, with all of its hooks.
"""

import logging
import statistics
import tempfile
import time
import warnings
from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from bench import Measurement, neighbours, report, run_config
from torch.utils.data import DataLoader

from deepfake_lab.checkpoint import build_detector
from deepfake_lab.config import build
from deepfake_lab.tasks.memory import keep_freed_memory
from deepfake_lab.types import SAMPLE_RATE, Batch

BOUND = 1.10
"""Longest step allowed, in units of the bare loop's."""
BATCHES, WARM_UP = 4, 3
STEPS = {
    "crnn": (15, 32),
    "crnn_mfcc": (50, 32),
    "attention_crnn": (15, 32),
    "hybrid": (15, 32),
    "lcnn": (15, 16),
    "resnet18": (12, 16),
    "linear": (12, 2),
    "aasist": (12, 2),
}
"""Steps timed of each model, and its batch size: light models show overhead best, heavy ones take small batches."""


def compose(model, folder):
    """The configuration of `python -m deepfake_lab.run model=MODEL` on the CPU for one epoch, recorded in `folder`."""
    overrides = [
        f"model={model}",
        f"loader.batch_size={STEPS[model][1]}",
        f"run_dir={folder}",
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
    ]
    overrides += [f"tracking.artifact_location={folder}", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    return run_config(overrides)


def make_batches(config):
    """A few batches of noise with as many fakes as real ones."""
    size, samples = config["loader"]["batch_size"], round(config["loader"]["window_s"] * SAMPLE_RATE)
    index = torch.arange(BATCHES * size).view(BATCHES, size)
    keys = tuple(map(str, range(size)))
    return [Batch(0.1 * torch.randn(size, samples), rows % 2, rows, keys) for rows in index]


class BareLoop:
    """Forward, loss, backward, clipping, optimizer: what any PyTorch loop does."""

    def __init__(self, config):
        self.detector = build_detector(config["model"]).train()
        self.loss = build(config["loss"])
        self.loss.set_prior(BATCHES, BATCHES)
        self.optimizer = build(config["optim"])(p for p in self.detector.parameters() if p.requires_grad)
        self.clip = config["trainer"]["gradient_clip_val"]

    def step(self, batch):
        """One training step."""
        self.optimizer.zero_grad()
        terms = self.loss(self.detector(batch.wave), batch)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.detector.parameters(), self.clip)
        self.optimizer.step()


@contextmanager
def plain_algorithms():
    """Lifts the deterministic mode that the Trainer sets for the whole process: a bare loop has none."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


class TakingTurns(pl.LightningDataModule):
    """Hands batches to Lightning, does a bare step before each, and times both.

    Attributes:
        bare: time of each bare step in s.
        lightning: time of each step of Lightning's in s; the last is not known, as the epoch's end follows it.
    """

    def __init__(self, batches, bare_loop, steps):
        super().__init__()
        self.batches, self.bare_loop, self.steps = batches, bare_loop, steps
        self.bare, self.lightning = [], []

    def training_counts(self):
        """Class counts, which the task asks for."""
        return BATCHES, BATCHES

    def train_dataloader(self):
        """The iterable that takes turns."""
        return self

    def val_dataloader(self):
        """One batch: an epoch ends with the metrics of dev."""
        return DataLoader(self.batches[:1], batch_size=None)

    def __len__(self):
        return self.steps

    def __iter__(self):
        for step in range(self.steps):
            batch = self.batches[step % BATCHES]
            with plain_algorithms():
                start = time.perf_counter()
                self.bare_loop.step(batch)
                stop = time.perf_counter()
            handed_out = time.perf_counter()
            yield batch
            self.lightning.append(time.perf_counter() - handed_out)
            self.bare.append(stop - start)


def step_times(model):
    """Times in s of Lightning's steps, and of the bare ones before each."""
    with tempfile.TemporaryDirectory() as folder:
        config = compose(model, folder)
        keep_freed_memory()
        pl.seed_everything(config["seed"], verbose=False)
        turns = TakingTurns(make_batches(config), BareLoop(config), WARM_UP + STEPS[model][0] + 1)
        loss, optimizer = build(config["loss"]), build(config["optim"])
        task = build(config["task"], detector=build_detector(config["model"]), loss=loss, optimizer=optimizer)
        with build(config["tracking"]).run(model) as tracked:
            callbacks = [build(callback) for callback in config["callbacks"].values()]
            trainer = build(config["trainer"], callbacks=callbacks, logger=tracked.logger)
            trainer.fit(task, datamodule=turns)
    return turns.lightning[WARM_UP:], turns.bare[WARM_UP:]


def measure():
    """Median of the ratios of neighbours, as the machine's speed drifts, for every model."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Found .* in eval mode")  # a frozen transformer
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    measurements = []
    for model in STEPS:
        times = step_times(model)
        ratio, _ = neighbours(*times)
        lightning, bare = (1e3 * statistics.median(each) for each in times)
        figures = f"{lightning:.1f} ms, bare loop {bare:.1f} ms"
        measurements.append(Measurement(f"training step, {model}", ratio, "x", BOUND, figures=figures))
    return measurements


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
