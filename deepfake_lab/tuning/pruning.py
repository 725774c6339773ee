"""The Lightning callback between a run and its Optuna trial."""

from __future__ import annotations

import optuna
import pytorch_lightning as pl

from deepfake_lab.types import LabError


class Pruning(pl.Callback):
    """Reports the monitored metric of every epoch to a trial and ends the run when the study's pruner gives it up.

    Args:
        trial: the trial that the run is.
        monitor: name of the metric, such as `dev/eer`.
    """

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self._trial = trial
        self._monitor = monitor

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports the epoch, after its validation.

        Raises:
            TrialPruned: the trial is hopeless.
            LabError: there is no such metric.
        """
        if self._monitor not in trainer.callback_metrics:
            known = sorted(name for name in trainer.callback_metrics if name.startswith("dev/"))
            raise LabError(f"metric={self._monitor}: no such metric. Choose from {', '.join(known)}.")
        self._trial.report(float(trainer.callback_metrics[self._monitor]), trainer.current_epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"pruned after {trainer.current_epoch + 1} epochs")
