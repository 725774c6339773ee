"""Callbacks that tell the time from within a run: `+callbacks.clock={_target_: clocks.FirstStep, note: FILE}`."""

import json
import os
import time
from pathlib import Path

import pytorch_lightning as pl


class FirstStep(pl.Callback):
    """Writes down the time on the machine's clock and the processor time so far, in s, after the first step.

    Args:
        note: file for both, as JSON. The process ends then.
    """

    def __init__(self, note: str) -> None:
        self.note = Path(note)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """The optimizer has stepped: nothing that follows is wanted."""
        used = os.times()
        self.note.write_text(json.dumps([time.monotonic(), used.user + used.system]))
        os._exit(0)


class Epochs(pl.Callback):
    """Writes down how many clips a second each epoch trains on; validation does not count.

    Args:
        note: file for the rates, as JSON.
    """

    def __init__(self, note: str) -> None:
        self.note = Path(note)
        self.rates = []

    def on_train_epoch_start(self, trainer, pl_module):
        """Starts the clock."""
        self.clips, self.begun = 0, time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Counts."""
        self.clips += len(batch.label)

    def on_validation_start(self, trainer, pl_module):
        """Stops the clock."""
        self.left = time.perf_counter()

    def on_validation_end(self, trainer, pl_module):
        """Goes on as if there had been no validation."""
        self.begun += time.perf_counter() - self.left

    def on_train_epoch_end(self, trainer, pl_module):
        """Adds the epoch."""
        self.rates.append(self.clips / (time.perf_counter() - self.begun))
        self.note.write_text(json.dumps(self.rates))
