"""Compares whole epochs of training, as the lab does them, with bare ones: forward, backward, optimizer, nothing else.

Lightning trains on a corpus that worker processes read, from FLAC or decoded beforehand (`loader.cache=`); the bare
loop has such batches in memory. They take turns epoch by epoch. What counts as the lab's epoch is all that passes from
its beginning to that of the next: reading, hooks, training metrics, the progress bar on a terminal, checkpoints,
logging. Validation does not.
"""

import contextlib
import logging
import os
import pty
import statistics
import tempfile
import threading
import time
import warnings

import pytorch_lightning as pl
from bench import Measurement, neighbours, report, run_config
from training_step import BareLoop, plain_algorithms

from deepfake_lab.checkpoint import build_detector
from deepfake_lab.config import build
from deepfake_lab.tasks.memory import keep_freed_memory

BOUND = 1.10
"""Longest epoch allowed, in units of the bare loop's, where reading costs nothing worth mentioning."""
EPOCHS, WARM_UP, BATCHES = 5, 1, 15
CORPUS = ("data=toy", f"data.utterances={16 * BATCHES}", "data.seconds=3.4")
"""As many utterances of each class as fill the batches, as long as those of openprompts are on average."""


class TakingTurns(pl.Callback):
    """Does a bare epoch before each of Lightning's, and times both; it must be the first of the callbacks.

    Attributes:
        bare: time of each bare epoch in s.
        lab: time of each epoch of Lightning's in s, without validation.
    """

    def __init__(self, batches, bare_loop):
        self.batches, self.bare_loop = batches, bare_loop
        self.bare, self.lab = [], []

    def on_train_epoch_start(self, trainer, pl_module):
        """Ends an epoch, does a bare one, begins the next."""
        if trainer.current_epoch:
            self.on_train_end(trainer, pl_module)
        with plain_algorithms():
            start = time.perf_counter()
            for batch in self.batches:
                self.bare_loop.step(batch)
            self.bare.append(time.perf_counter() - start)
        self.begun = time.perf_counter()

    def on_validation_start(self, trainer, pl_module):
        """Stops the clock."""
        self.left = time.perf_counter()

    def on_validation_end(self, trainer, pl_module):
        """Goes on as if there had been no validation."""
        self.begun += time.perf_counter() - self.left

    def on_train_end(self, trainer, pl_module):
        """Ends the last epoch."""
        self.lab.append(time.perf_counter() - self.begun)


@contextlib.contextmanager
def terminal():
    """Has the process write to a terminal, whose text nobody sees: a progress bar shows itself on no other file."""
    ours, theirs = pty.openpty()

    def drain():
        with contextlib.suppress(OSError):  # the other side is closed
            while os.read(ours, 65536):
                pass

    reader = threading.Thread(target=drain)
    reader.start()
    with open(theirs, "w") as screen, contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        yield
    reader.join()
    os.close(ours)


def configuration(folder, *overrides):
    """That of `python -m deepfake_lab.run model=crnn` on the CPU with more overrides, recorded in `folder`."""
    settings = {"run_dir": folder, "tracking.uri": f"sqlite:///{folder}/mlflow.db"}
    settings |= {"tracking.artifact_location": folder, "trainer.accelerator": "cpu"}
    settings |= {"callbacks.early_stopping": "null"}
    return run_config(["model=crnn", *(f"{key}={value}" for key, value in settings.items()), *overrides])


def corpus_of(config):
    """The corpus as Lightning takes it."""
    datamodule = build(config["loader"], corpus=build(config["data"]))
    datamodule.setup()
    return datamodule


def fit(config, datamodule, tracked, first):
    """Trains as `python -m deepfake_lab.run` does, recorded in an open run, with one callback before the usual ones."""
    loss, optimizer = build(config["loss"]), build(config["optim"])
    task = build(config["task"], detector=build_detector(config["model"]), loss=loss, optimizer=optimizer)
    callbacks = [build(callback) for callback in config["callbacks"].values() if callback]
    trainer = build(config["trainer"], callbacks=[first, *callbacks], logger=tracked.logger)
    trainer.fit(task, datamodule=datamodule)


def epoch_times(folder, *overrides):
    """Times in s of the lab's epochs, of the bare ones before each, and of reading their batches alone."""
    length = (f"trainer.max_epochs={WARM_UP + EPOCHS}", "+trainer.limit_val_batches=1")
    config = configuration(folder, *CORPUS, f"data.root={folder}/toy", *length, *overrides)
    keep_freed_memory()
    pl.seed_everything(config["seed"], verbose=False)
    datamodule = corpus_of(config)
    loader = datamodule.train_dataloader()
    batches, reading = list(loader), []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for _ in loader:
            pass
        reading.append(time.perf_counter() - start)
    turns = TakingTurns(batches, BareLoop(config))
    with terminal(), build(config["tracking"]).run("epochs") as tracked:
        fit(config, datamodule, tracked, turns)
    assert len(turns.lab) == len(turns.bare) == WARM_UP + EPOCHS, "an epoch went by that nobody has timed"
    return turns.lab[WARM_UP:], turns.bare[WARM_UP:], reading


def measure():
    """Median ratios of neighbours, as the machine's speed drifts; what reading takes if there is nothing else to do."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for what, overrides in {"FLAC": (), "decoded cache": (f"loader.cache={folder}/decoded",)}.items():
            times = epoch_times(folder, *overrides)
            ratio, spread = neighbours(*times[:2])
            lab, bare, reading = map(statistics.median, times)
            figures = f"{lab:.2f} s, bare loop {bare:.2f} s; reading alone {reading:.2f} s; {BATCHES} batches of 32; "
            bound = BOUND if overrides else None
            found.append(Measurement(f"training epoch, crnn, {what}", ratio, "x", bound, figures=figures + spread))
    return found


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
