"""What a person sees of training: a bar on a terminal, and one line an epoch everywhere."""

from __future__ import annotations

import sys
import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from tqdm import tqdm


class ProgressReport(TQDMProgressBar):
    """A progress bar where someone is watching; one line an epoch, so that a log file can be read too."""

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0)
        self._started = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        super().on_train_epoch_start(trainer, pl_module)
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints loss and dev EER of the epoch."""
        super().on_train_epoch_end(trainer, pl_module)
        values = trainer.callback_metrics
        if not trainer.is_global_zero:
            return
        tqdm.write(
            f"epoch {trainer.current_epoch + 1:3d}/{trainer.max_epochs}"
            f"   train loss {values['train/loss']:.3f}   dev loss {values['dev/loss']:.3f}"
            f"   dev EER {values['dev/eer']:6.2%}   {time.monotonic() - self._started:.0f} s",
            file=sys.stdout,
        )
